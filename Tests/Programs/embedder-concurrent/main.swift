// Calls everything of the library that is asynchronous from every isolation that an embedder may be in, and says what
// has come back. It is built twice, with and without NonisolatedNonsendingByDefault: see Package.swift.
//
// embedder PID DIR
// embedder --dumps COUNT --budget BYTES PID DIR: makes so many at once, and says what memory that took
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
  case noPeak
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

/// Makes dumps of one process at once, in one runtime.
///
/// - Returns: the most memory that this program has taken, in bytes.
func peak(ofDumps count: Int, budget: Int, of pid: Int32, in directory: String) async throws -> Int {
  guard unsafe mkdir(directory, 0o700) == 0 else { throw Failure.noDirectory }
  let runtime = SluiceRuntime(memoryBudget: budget)
  try await withThrowingTaskGroup(of: Void.self) { group in
    for number in 0..<count {
      group.addTask {
        var configuration = PreDump.Configuration(pid: pid, imagesDirectory: "\(directory)/\(number)")
        configuration.tracker = .none
        _ = try await PreDump(configuration, in: runtime).run()
      }
    }
    try await group.waitForAll()
  }
  await runtime.shutdown()
  guard let file = unsafe fopen("/proc/self/status", "r") else { throw Failure.noPeak }
  defer { unsafe fclose(file) }
  var line = [CChar](repeating: 0, count: 256)
  while unsafe fgets(&line, 256, file) != nil {
    let text = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    if text.hasPrefix("VmHWM:"), let kibibytes = Int(text.filter(\.isNumber)) { return kibibytes << 10 }
  }
  throw Failure.noPeak
}

if CommandLine.arguments.count == 7, CommandLine.arguments[1] == "--dumps",
  let count = Int(CommandLine.arguments[2]), let budget = Int(CommandLine.arguments[4]),
  let pid = Int32(CommandLine.arguments[5])
{
  print(try await peak(ofDumps: count, budget: budget, of: pid, in: CommandLine.arguments[6]))
  exit(0)
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
