internal import CSluiceLinux
internal import SluicePipeline
internal import SluiceTarget

/// The memory of the processes of a round.
final class ProcessTreeSource: LocatedSource {
  /// What the readers came across, all together.
  struct ReadCounts: Sendable {
    /// Bytes that were there when they were planned and were gone when they should be read.
    var vanishedBytes: UInt64 = 0
    /// Bytes that the process itself may not read at this moment.
    var forcedBytes: UInt64 = 0
  }

  private let processes: [DumpedProcess]
  private let byOwner: [PageOwner: DumpedProcess]
  private let base: ParentBase?
  private let watch: WriteProtectMode?
  private let pageStates: PageScanner.Source?
  private let swapped: SwappedPages
  private let standing: AsyncIOQuiescence?
  private let team: ScanTeam?
  private let selections: [PageOwner: PageSelection]
  private let result = Locked(MemoryWalker.Result(processes: []))
  fileprivate let readCounts = Locked(ReadCounts())

  /// - Parameters:
  ///   - round: the processes, and the pages that need not be copied.
  ///   - source: where the states of pages come from; nil for the best that the kernel has.
  ///   - team: who helps with the walk of processes that stand still; nil where nobody does.
  init(
    _ round: PreparedRound, source: PageScanner.Source?, swapped: SwappedPages, team: ScanTeam? = nil
  ) {
    processes = round.processes
    byOwner = Dictionary(uniqueKeysWithValues: round.processes.map { ($0.owner, $0) })
    (base, watch, pageStates, self.swapped) = (round.base, round.watch, source, swapped)
    standing = round.standing
    self.team = round.standing == nil ? nil : team
    selections = round.selections
  }

  /// What the walk came to, once it has ended.
  var walked: MemoryWalker.Result { result.withLock { $0 } }

  /// What the readers came across, once they have ended.
  var read: ReadCounts { readCounts.withLock { $0 } }

  func walk(_ plans: inout PlanWriter) async throws {
    var walker = MemoryWalker(
      count: processes.count, base: base, watch: watch, source: pageStates, swapped: swapped,
      standing: standing, team: team, selections: selections)
    for process in processes { try await walker.run(of: process, into: &plans) }
    let walked = walker.result
    result.withLock { $0 = walked }
  }

  func makeReader() -> any PageSourceReader { Reader(of: self) }

  func locator(of owner: PageOwner) -> (any PageLocator)? {
    byOwner[owner].map { PageNodes(of: $0.process) }
  }

  func failure(of owner: PageOwner) -> SluiceError? { byOwner[owner]?.error }

  /// Reads by process_vm_readv.
  private final class Reader: TimedReader {
    let clock = ReadClock()
    private let source: ProcessTreeSource
    /// Used by the reader's own thread alone.
    private let pacer = Locked(MmapLockPacer())

    init(of source: ProcessTreeSource) { self.source = source }

    func fill(_ plan: inout ReadPlan) throws {
      guard let process = source.byOwner[plan.owner] else {
        preconditionFailure("the walk plans what is of its own processes")
      }
      let memory = RemoteMemory(
        of: process.process, clock: clock, standsStill: source.standing != nil,
        isSparse: !source.selections.isEmpty)
      let (table, count, bytes) = unsafe (plan.buffer.runTable, plan.buffer.runCount, plan.buffer.bytes)
      let outcome = try process.attempt { () throws(TargetError) in
        var turns = pacer.withLock { $0 }
        defer { pacer.withLock { $0 = turns } }
        return unsafe try memory.read(table: table, runCount: count, into: bytes, turns: &turns)
      }
      plan.buffer.keep(runCount: outcome?.runCount ?? 0, byteCount: outcome?.byteCount ?? 0)
      guard let outcome, outcome.vanishedBytes > 0 || outcome.forcedBytes > 0 else { return }
      source.readCounts.withLock {
        $0.vanishedBytes += outcome.vanishedBytes
        $0.forcedBytes += outcome.forcedBytes
      }
    }
  }
}

extension PageNodes: PageLocator {}
