// The first hour with Sluice: rounds with their progress, a copy that is cancelled, and pages in a sink of one's own.
//
//   FirstHour PID DIRECTORY
import Sluice

/// Counts the pages of each process, and those that are all zeros.
actor Counter: PageSink {
  nonisolated let limits = SinkLimits()
  private var counted: [PageOwner: (pages: Int, zeros: Int)] = [:]
  private(set) var lines: [String] = []

  func begin(_ owner: PageOwner, expectedBytes: UInt64) { counted[owner] = (0, 0) }

  func write(_ chunk: consuming PageChunk) {
    counted[chunk.owner]?.pages += chunk.byteCount / chunk.pageSize
    counted[chunk.owner]?.zeros += chunk.zeroPages
  }

  func end(_ owner: PageOwner, failure: SluiceError?) {}

  func commit(_ manifest: RunManifest) {
    for entry in manifest.entries where entry.failure == nil {
      guard let (pages, zeros) = counted[entry.owner] else { continue }
      lines.append("\(entry.owner): \(pages) pages, \(zeros) of them zeros")
    }
  }

  func abort() { counted = [:] }
}

guard CommandLine.arguments.count == 3, let pid = Int32(CommandLine.arguments[1]) else {
  fatalError("usage: FirstHour PID DIRECTORY")
}
let directory = CommandLine.arguments[2]
let runtime = SluiceRuntime(memoryBudget: 16 << 20)

// Rounds, and a task that watches them; the last one stops the process for what is left.
let chain = PreDump.Configuration(pid: pid, imagesDirectory: "\(directory)/chain")
try await withPreDumpRounds(chain, policy: RoundPolicy(rounds: 4), lastRound: .resumes, in: runtime) {
  rounds in
  let progress = rounds.progress
  let watcher = Task {
    for await state in progress {
      print(
        "  round \(state.round ?? 1), \(state.phase): \(state.bytesWritten) of \(state.bytesExpected) bytes")
    }
  }
  for try await report in rounds {
    print("round \(rounds.number): \(report.pagesWritten) pages, stopped for \(report.stopped)")
  }
  await watcher.value
}

// A copy that would take long, cancelled as soon as it copies.
var slow = PreDump.Configuration(pid: pid, imagesDirectory: "\(directory)/slow")
slow.rateLimit = RateLimit(bytesPerSecond: 64 << 10)
let progress = ProgressFeed()
let copy = Task { [slow] in try await PreDump(slow, in: runtime, progress: progress).run() }
for await state in progress where state.phase == .copying { copy.cancel() }
do {
  print("too fast to be cancelled: \(try await copy.value.duration)")
} catch let error as SluiceError where error.code == .cancelled {
  print("cancelled: \(error)")
}

// Pages that go into no images at all.
let counter = Counter()
_ = try await PreDump(.init(pid: pid), into: counter, in: runtime).run()
print(await counter.lines.joined(separator: "\n"))
await runtime.shutdown()
