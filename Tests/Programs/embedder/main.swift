// Calls everything of the library that is asynchronous from every isolation that an embedder may be in, and says what
// has come back. It is built twice, with and without NonisolatedNonsendingByDefault: see Package.swift.
//
// embedder PID DIR
import Dispatch
import Glibc
import Sluice

/// What is called.
enum Call: String, CaseIterable {
  case preDump = "pre-dump"
  case rounds
  case flatten
  case contents
  case dirtyRate = "dirty-rate"

  /// On this actor, as a method of its own would.
  func run(of pid: Int32, in directory: String, isolation: isolated (any Actor)? = #isolation) async throws {
    switch self {
    case .preDump:
      _ = try await PreDump(PreDump.Configuration(pid: pid, imagesDirectory: "\(directory)/one")).run()
    case .rounds:
      let configuration = PreDump.Configuration(pid: pid, imagesDirectory: "\(directory)/rounds")
      var policy = RoundPolicy()
      policy.rounds = 2
      policy.untilPages = 0
      policy.untilSkippedPercent = 100
      try await withPreDumpRounds(configuration, policy: policy) { rounds in
        for try await report in rounds where report.pagesWritten == 0 { throw Failure.nothingWritten }
      }
    case .flatten:
      _ = try await FlattenImages(directory: "\(directory)/one", output: "\(directory)/flat").run()
    case .contents:
      _ = try await ContentsCheck(directory: "\(directory)/one", pid: pid).run()
    case .dirtyRate:
      var rate = DirtyRate(pid: pid)
      rate.seconds = 0.1
      _ = try await rate.run()
    }
    isolation?.preconditionIsolated("the call has not come back to its actor")
  }
}

/// Runs all calls, one after the other.
func runAll(
  _ name: String, of pid: Int32, in directory: String, isolation: isolated (any Actor)? = #isolation
) async throws {
  let own = "\(directory)/\(name)"
  guard unsafe mkdir(own, 0o700) == 0 else { throw Failure.noDirectory }
  for call in Call.allCases {
    do {
      try await call.run(of: pid, in: own, isolation: isolation)
    } catch {
      print("\(name): \(call.rawValue) failed: \(error)")
      exit(1)
    }
    print("\(name): \(call.rawValue)")
    // What follows may be its end.
    fflush(nil)
  }
}

enum Failure: Error {
  case noDirectory
  case nothingWritten
}

actor Plain {
  func run(of pid: Int32, in directory: String) async throws {
    try await runAll("actor", of: pid, in: directory)
  }
}

@globalActor actor Global {
  static let shared = Global()
}

@Global func runOnGlobalActor(of pid: Int32, in directory: String) async throws {
  try await runAll("global-actor", of: pid, in: directory)
}

/// A queue of libdispatch as an executor.
final class Queue: SerialExecutor, TaskExecutor {
  private let queue = DispatchQueue(label: "embedder")

  func enqueue(_ job: consuming ExecutorJob) {
    let job = UnownedJob(job)
    queue.async {
      unsafe job.runSynchronously(
        isolatedTo: self.asUnownedSerialExecutor(), taskExecutor: self.asUnownedTaskExecutor())
    }
  }

  func checkIsolated() {
    dispatchPrecondition(condition: .onQueue(queue))
  }
}

actor OnQueue {
  private let queue = Queue()
  nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe queue.asUnownedSerialExecutor() }

  func run(of pid: Int32, in directory: String) async throws {
    try await runAll("custom-executor", of: pid, in: directory)
  }
}

guard CommandLine.arguments.count == 3, let pid = Int32(CommandLine.arguments[1]) else {
  print("usage: embedder PID DIR")
  exit(64)
}
let directory = CommandLine.arguments[2]

try await runAll("main-actor", of: pid, in: directory)
try await Plain().run(of: pid, in: directory)
try await runOnGlobalActor(of: pid, in: directory)
try await OnQueue().run(of: pid, in: directory)
try await Task.detached { try await runAll("detached", of: pid, in: directory) }.value
// Here an actor comes along with its task.
guard unsafe mkdir("\(directory)/preferred", 0o700) == 0 else { throw Failure.noDirectory }
try await withTaskExecutorPreference(Queue()) {
  try await Plain().run(of: pid, in: "\(directory)/preferred")
}
