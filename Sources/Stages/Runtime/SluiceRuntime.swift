internal import CSluiceLinux
internal import Logging
internal import SluicePipeline
internal import SluiceSystem
internal import SluiceTarget

/// What dumps work with, and what outlives each of them: threads, buffers, io_uring, and one memory budget.
///
/// ```swift
/// let runtime = SluiceRuntime(memoryBudget: 64 << 20)
/// async let a = PreDump(first, in: runtime).run()
/// async let b = PreDump(second, in: runtime).run()
/// print(try await a.pagesWritten, try await b.pagesWritten)
/// ```
///
/// Dumps that run at once share the budget: when another begins, the buffers of the others become fewer, and where not
/// even the least would be left for each, the new one waits for an end. The rounds of `withPreDumpRounds` go on with the
/// same threads, buffers and io_uring.
///
/// The threads end when the runtime goes.
public final class SluiceRuntime: Sendable {
  /// The memory for everything that could grow, of all dumps together, in bytes. The constant base of the program is
  /// beside that.
  public let memoryBudget: Int
  /// The most memory that this program has taken so far, everything included, in bytes; nil where the kernel does not
  /// tell.
  public static var peakMemoryBytes: UInt64? { OwnMemory.peakBytes }
  private let core: RuntimeCore
  /// Threads that the tasks of a run are on, apart from the stages' own: those that no run uses.
  private let coordinators = Locked<[ThreadExecutor]>([])
  /// Whether there is anything that must be ended.
  private let isUsed = Locked(false)

  /// A runtime without threads and buffers: a dump makes what it needs, and leaves it to the next.
  ///
  /// - Parameter memoryBudget: in bytes. Whether it is enough is found out by each dump.
  public convenience init(memoryBudget: Int = 64 << 20) {
    self.init(memoryBudget: memoryBudget, topology: nil)
  }

  /// - Parameter topology: the machine's nodes; nil where they are to be looked up when a dump begins.
  init(memoryBudget: Int, topology: Topology?) {
    self.memoryBudget = memoryBudget
    core = RuntimeCore(memoryBudget: memoryBudget, topology: topology)
  }

  /// The machine's nodes, looked up once.
  var topology: Topology { get async { await core.knownTopology() } }

  deinit {
    // A program that ends just now must not have a task that begins.
    guard isUsed.withLock({ $0 }) else { return }
    let core = core
    let coordinators = coordinators.withLock { $0 }
    // Whoever drops the last reference may be a thread that is to end here.
    Task.detached {
      for coordinator in coordinators { coordinator.shutdown() }
      await core.shutdown()
    }
  }

  /// How often threads, buffers and an io_uring were made, and how often a dump went on with those of another.
  public struct Counts: Hashable, Sendable {
    /// Sets that were made.
    public var made = 0
    /// Dumps that went on with the set of another.
    public var reused = 0
  }

  /// What was made so far.
  public var counts: Counts { get async { await core.counts } }

  /// Ends all threads that are idle, waits for their end, and gives their buffers back. What runs in the runtime keeps what it
  /// has, and leaves it to the next `shutdown`, or to the end of the runtime. The next dump makes anew what it needs.
  public func shutdown() async {
    let idle = coordinators.withLock { idle in
      defer { idle = [] }
      return idle
    }
    for coordinator in idle { coordinator.shutdown() }
    await core.shutdown()
    isUsed.withLock { $0 = false }
  }

  func acquire(_ needs: RuntimeNeeds) async throws(SluiceError) -> RuntimeLease {
    try needs.limits.check()
    isUsed.withLock { $0 = true }
    return try await core.acquire(needs)
  }

  /// - Parameter isReusable: whether all work on the lease's threads has come to its end.
  func release(_ lease: RuntimeLease, isReusable: Bool) async {
    await core.release(lease, isReusable: isReusable)
  }

  /// Runs `body` on a thread of its own, whatever actor the caller is on. Where the caller's task is cancelled, so is that
  /// of `body`.
  ///
  /// - Throws: what `body` throws, or `SluiceError` with `system` where there is no thread.
  func coordinate<Success: Sendable>(
    _ body: @escaping @Sendable () async throws(SluiceError) -> Success
  ) async throws(SluiceError) -> Success {
    isUsed.withLock { $0 = true }
    let known = coordinators.withLock { $0.popLast() }
    let coordinator: ThreadExecutor
    if let known { coordinator = known } else { coordinator = try StageThreads.make("sluice-coord") }
    let result = await Coordinator.run(on: coordinator, body)
    coordinators.withLock { $0.append(coordinator) }
    return try result.get()
  }
}

/// What a dump needs of a runtime.
struct RuntimeNeeds: Sendable {
  /// Memory of fixed sizes.
  var shares: [MemoryBudget.Share]
  var limits: SinkLimits
  var readers: Int
  var queueDepth: Int
  var writeEngine: PreDump.Configuration.WriteEngine
  var registersBuffers: Bool
  var logger: Logger
  /// The nodes that readers and buffers are on; nil where they are on any.
  var placement: Placement?
  /// What the places are to have of all buffers, in proportion.
  var nodeShares: [Double] = []
  /// The processors that the writer stays on; nil where it is on any.
  var writerProcessors: [UInt32]?
}

/// What a dump has of a runtime, until it is released.
struct RuntimeLease: Sendable {
  /// How the memory is divided.
  let budget: MemoryBudget
  let resources: RuntimeSet
  fileprivate let part: MemoryLedger.Part
  /// Where readers and buffers are; nil where nothing was to be placed.
  let placing: NodePlacing?

  var ring: BufferRing { resources.ring }
  var engine: any WriteEngine { resources.engine }
  var threads: StageThreads { resources.threads }
}

/// Threads, buffers, and what writes from them.
final class RuntimeSet: Sendable {
  /// What a dump that goes on with a set must need the same of.
  struct Kind: Hashable, Sendable {
    let readers: Int
    let queueDepth: Int
    let writeEngine: PreDump.Configuration.WriteEngine
    let registersBuffers: Bool
    let chunkBytes: Int
    var placement: Placement?
    var writerProcessors: [UInt32]?
  }

  let kind: Kind
  let ring: BufferRing
  let engine: any WriteEngine
  let threads: StageThreads
  private let filterThread = Locked<ThreadExecutor?>(nil)
  private let sinkThread = Locked<ThreadExecutor?>(nil)
  /// Readers beside the usual ones, for processes that stand still.
  private let moreReaders = Locked<[ReaderThread]>([])
  private let scanThreads = Locked<[ThreadExecutor]>([])

  init(kind: Kind, ring: BufferRing, logger: Logger) throws(SluiceError) {
    self.kind = kind
    self.ring = ring
    engine = try makeEngine(kind, ring: ring, logger: logger)
    do throws(SluiceError) { threads = try StageThreads(readers: kind.readers, on: kind.placement) } catch {
      engine.shutdown()
      throw error
    }
  }

  /// The thread of a filter.
  func threadForFilter() throws(SluiceError) -> ThreadExecutor {
    try thread("sluice-filter", in: filterThread)
  }

  /// So many readers: the usual ones, and others where these are too few. Where readers are on nodes, each node keeps its
  /// own, for nobody else takes plans of that node.
  func readers(_ count: Int) throws(SluiceError) -> [ReaderThread] {
    let usual = threads.readers
    guard count > usual.count else { return kind.placement == nil ? Array(usual.prefix(count)) : usual }
    let places = kind.placement?.places ?? []
    var others = moreReaders.withLock { $0 }
    while others.count < count - usual.count {
      let number = usual.count + others.count
      let place = places.isEmpty ? 0 : number % places.count
      others.append(
        ReaderThread(
          executor: try StageThreads.make(
            "sluice-read-\(number)", on: places.isEmpty ? nil : places[place].processors), place: place))
      moreReaders.withLock { [others] in $0 = others }
    }
    return usual + others.prefix(count - usual.count)
  }

  /// So many threads that help to scan processes that stand still. On nodes they are on none.
  func scanners(_ count: Int) throws(SluiceError) -> [ThreadExecutor] {
    var known = scanThreads.withLock { $0 }
    while known.count < count {
      known.append(try StageThreads.make("sluice-scan-\(known.count)"))
      scanThreads.withLock { [known] in $0 = known }
    }
    return Array(known.prefix(count))
  }

  /// The thread of a sink that has none.
  func threadForSink() throws(SluiceError) -> ThreadExecutor { try thread("sluice-sink", in: sinkThread) }

  private func thread(
    _ name: String, in place: Locked<ThreadExecutor?>
  ) throws(SluiceError) -> ThreadExecutor {
    if let known = place.withLock({ $0 }) { return known }
    let made = try StageThreads.make(name)
    place.withLock { $0 = made }
    return made
  }

  func shutdown() {
    engine.shutdown()
    threads.shutdown()
    filterThread.withLock { $0 }?.shutdown()
    sinkThread.withLock { $0 }?.shutdown()
    for reader in moreReaders.withLock({ $0 }) { reader.executor.shutdown() }
    for thread in scanThreads.withLock({ $0 }) { thread.shutdown() }
  }
}

/// The state of a runtime.
private actor RuntimeCore {
  private let ledger: MemoryLedger
  private var idle: [RuntimeSet] = []
  private(set) var counts = SluiceRuntime.Counts()

  private var topology: Topology?
  /// Why nothing is placed any more: what a node or the kernel has refused once, it would refuse again.
  private var placementRefusal: String?

  init(memoryBudget: Int, topology: Topology?) {
    ledger = MemoryLedger(total: memoryBudget)
    self.topology = topology
  }

  func knownTopology() -> Topology {
    let known = topology ?? .current()
    topology = known
    return known
  }

  func acquire(_ needs: RuntimeNeeds) async throws(SluiceError) -> RuntimeLease {
    let pageSize = Int(sluice_page_size())
    let fixed = needs.shares.reduce(0) { $0 + $1.byteCount }
    let preferred = needs.limits.preferredChunkBytes
    let placing = makePlacing(needs, fixed, pageSize)
    let placement = placing.flatMap { $0.isOn ? $0.placement : nil }
    let fewest = Self.fewestBuffers(placement)
    // What cannot be had by itself is refused with the number that would do.
    let whole = try Self.divide(ledger.total, needs.shares, pageSize, preferred, fewest)
    let candidate = idle.popLast()
    let part: MemoryLedger.Part
    do throws(MemoryLedger.Refusal) {
      part = try await ledger.take(
        fixed: fixed, leastForBuffers: Self.leastForBuffers(fewest, pageSize), ring: candidate?.ring,
        fewest: placement == nil ? MemoryLedger.fewestBuffers : fewest
      ) { bytesForBuffers in
        let buffers = try? Self.divide(fixed + bytesForBuffers, needs.shares, pageSize, preferred, fewest)
          .buffers
        return buffers.map { $0.totalBytes / $0.count } ?? 0
      }
    } catch {
      if let candidate { idle.append(candidate) }
      throw error == .cancelled ? .cancelled : SluiceError(.invalidArgument, "the memory budget is too small")
    }
    let budget: MemoryBudget
    do throws(SluiceError) {
      let isWhole = part.bytesForBuffers >= ledger.total - fixed
      budget =
        isWhole
        ? whole : try Self.divide(fixed + part.bytesForBuffers, needs.shares, pageSize, preferred, fewest)
    } catch {
      if let candidate { idle.append(candidate) }
      await ledger.giveBack(part, keeping: candidate?.ring)
      throw error
    }
    do throws(SluiceError) {
      let set = try await set(for: needs, budget, placing, instead: candidate)
      set.ring.wantedLimit = needs.limits.isMemory ? budget.forMemory.count : budget.buffers.count
      if let most = needs.limits.mostChunks {
        // One that is read, one that waits on either side: with fewer the stages wait for each other.
        set.ring.wantedLimit = min(set.ring.wantedLimit, min(most, MemoryBudget.mostBuffers) + 3)
      }
      if set.kind.placement != nil {
        set.ring.wantedLimit = max(set.ring.wantedLimit, fewest)
        // They may be others than those of the round before.
        set.ring.setShares(needs.nodeShares)
        guard await set.ring.waitUntilWithinLimit() else {
          set.shutdown()
          throw .cancelled
        }
      }
      await ledger.use(set.ring, for: part)
      return RuntimeLease(budget: budget, resources: set, part: part, placing: placing)
    } catch {
      await ledger.giveBack(part)
      throw error
    }
  }

  private static func divide(
    _ total: Int, _ shares: [MemoryBudget.Share], _ pageSize: Int, _ preferred: Int?, _ fewest: Int
  ) throws(SluiceError) -> MemoryBudget {
    do throws(MemoryBudget.TooSmall) {
      return try MemoryBudget(
        total: total, shares: shares, pageSize: pageSize, preferredChunkBytes: preferred,
        fewestBuffers: fewest)
    } catch {
      throw SluiceError(error)
    }
  }

  /// The set that was idle, if it is as needed; else a new one.
  private func set(
    for needs: RuntimeNeeds, _ budget: MemoryBudget, _ placing: NodePlacing?, instead candidate: RuntimeSet?
  ) async throws(SluiceError) -> RuntimeSet {
    var kind = RuntimeSet.Kind(
      readers: needs.readers, queueDepth: needs.queueDepth, writeEngine: needs.writeEngine,
      registersBuffers: needs.registersBuffers, chunkBytes: budget.buffers.chunkBytes,
      placement: placing.flatMap { $0.isOn ? $0.placement : nil }, writerProcessors: needs.writerProcessors)
    if let candidate {
      if candidate.kind == kind {
        counts.reused += 1
        needs.logger.info(
          "going on with the threads, buffers and \(candidate.engine.kind) of the dump before")
        return candidate
      }
      candidate.shutdown()
    }
    // Addresses for as many buffers as there could ever be: what is not used takes no memory.
    let layout = BufferLayout(count: 1, chunkBytes: kind.chunkBytes, pageSize: budget.buffers.pageSize)
    let most = max(budget.buffers.count, min(ledger.total / layout.totalBytes, MemoryBudget.mostBuffers))
    try StageThreads.checkAddresses(
      for: most * layout.totalBytes, threads: kind.readers + Self.threadsBesideReaders)
    let ring: BufferRing
    do throws(BufferRing.MappingFailed) {
      ring = try Self.makeRing(most, like: layout, placing)
    } catch {
      throw SluiceError(error)
    }
    if placing?.isOn != true { kind.placement = nil }
    let made = try RuntimeSet(kind: kind, ring: ring, logger: needs.logger)
    counts.made += 1
    return made
  }

  /// Those that coordinate, begin, walk and write, and the sink's.
  private static let threadsBesideReaders = 5

  /// A ring with a part for each node that buffers are on; one of the usual kind where the kernel has none of that.
  private static func makeRing(
    _ most: Int, like one: BufferLayout, _ placing: NodePlacing?
  ) throws(BufferRing.MappingFailed) -> BufferRing {
    func layout(of count: Int) -> BufferLayout {
      BufferLayout(count: count, chunkBytes: one.chunkBytes, pageSize: one.pageSize)
    }
    guard let placing, placing.isOn else { return try BufferRing(layout: layout(of: most)) }
    let places = placing.placement.places
    // All of them may come to be on one node; and the kernel registers no more than so many (IORING_MAX_REG_BUFFERS).
    let each = min(most, 16384 / places.count)
    let ring = try BufferRing(layout: layout(of: each * places.count), parts: places.count)
    for (part, place) in places.enumerated() {
      guard let refusal = ring.place(part: part, on: place.node) else { continue }
      placing.giveUp("the kernel does not place memory on node \(place.node) (\(refusal.name))")
      return try BufferRing(layout: layout(of: most))
    }
    return ring
  }

  /// How the dump's readers and buffers are placed; nil where nothing is to be.
  private func makePlacing(_ needs: RuntimeNeeds, _ fixed: Int, _ pageSize: Int) -> NodePlacing? {
    guard let placement = needs.placement else { return nil }
    let placing = NodePlacing(placement, refusal: placementRefusal, logger: needs.logger)
    let least = Self.leastForBuffers(Self.fewestBuffers(placement), pageSize)
    if ledger.total - fixed < least {
      placing.giveUp(
        "the memory budget is too small for buffers on \(placement.places.count) nodes: use at least \(fixed + least) bytes"
      )
    }
    return placing
  }

  private static func fewestBuffers(_ placement: Placement?) -> Int {
    max(MemoryBudget.fewestBuffers, BufferShares.fewestInPart * (placement?.places.count ?? 1))
  }

  private static func leastForBuffers(_ fewest: Int, _ pageSize: Int) -> Int {
    MemoryBudget.leastForBuffers(pageSize: pageSize) / MemoryBudget.fewestBuffers * fewest
  }

  func release(_ lease: RuntimeLease, isReusable: Bool) async {
    placementRefusal = placementRefusal ?? lease.placing?.givenUp
    // A buffer that is still out has been left behind with a read that does not end.
    let isReusable = isReusable && lease.ring.takenCount == 0
    if isReusable { idle.append(lease.resources) } else { lease.resources.shutdown() }
    await ledger.giveBack(lease.part, keeping: isReusable ? lease.ring : nil)
  }

  func shutdown() async {
    // At once: while this waits, a dump may look for one, or leave another.
    let ended = idle
    idle = []
    for set in ended {
      set.shutdown()
      await ledger.forget(set.ring)
    }
  }
}
