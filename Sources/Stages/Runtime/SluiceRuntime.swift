internal import CSluiceLinux
internal import Logging
internal import SluicePipeline
internal import SluiceTarget

/// What dumps work with, and what outlives each of them: threads, buffers, io_uring, and one memory budget.
///
/// ```swift
/// let runtime = try SluiceRuntime(memoryBudget: 64 << 20)
/// async let a = PreDump(first, in: runtime).run()
/// async let b = PreDump(second, in: runtime).run()
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
  public init(memoryBudget: Int = 64 << 20) {
    self.memoryBudget = memoryBudget
    core = RuntimeCore(memoryBudget: memoryBudget)
  }

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

  /// Ends all threads and gives the buffers back. Nothing may run in the runtime any more; it makes anew what the next
  /// dump needs.
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
}

/// What a dump has of a runtime, until it is released.
struct RuntimeLease: Sendable {
  /// How the memory is divided.
  let budget: MemoryBudget
  let resources: RuntimeSet
  fileprivate let part: MemoryLedger.Part

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
  }

  let kind: Kind
  let ring: BufferRing
  let engine: any WriteEngine
  let threads: StageThreads
  private let filterThread = Locked<ThreadExecutor?>(nil)
  private let sinkThread = Locked<ThreadExecutor?>(nil)
  /// Readers beside the usual ones, for processes that stand still.
  private let moreReaders = Locked<[ThreadExecutor]>([])

  init(kind: Kind, ring: BufferRing, logger: Logger) throws(SluiceError) {
    self.kind = kind
    self.ring = ring
    engine = try makeEngine(kind, ring: ring, logger: logger)
    do throws(SluiceError) { threads = try StageThreads(readers: kind.readers) } catch {
      engine.shutdown()
      throw error
    }
  }

  /// The thread of a filter.
  func threadForFilter() throws(SluiceError) -> ThreadExecutor {
    try thread("sluice-filter", in: filterThread)
  }

  /// So many readers: the usual ones, and others where these are too few.
  func readers(_ count: Int) throws(SluiceError) -> [ThreadExecutor] {
    let usual = threads.readers
    guard count > usual.count else { return Array(usual.prefix(count)) }
    var others = moreReaders.withLock { $0 }
    while others.count < count - usual.count {
      others.append(try StageThreads.make("sluice-read-\(usual.count + others.count)"))
      moreReaders.withLock { [others] in $0 = others }
    }
    return usual + others.prefix(count - usual.count)
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
    for thread in moreReaders.withLock({ $0 }) { thread.shutdown() }
  }
}

/// The state of a runtime.
private actor RuntimeCore {
  private let ledger: MemoryLedger
  private var idle: [RuntimeSet] = []
  private(set) var counts = SluiceRuntime.Counts()

  init(memoryBudget: Int) { ledger = MemoryLedger(total: memoryBudget) }

  func acquire(_ needs: RuntimeNeeds) async throws(SluiceError) -> RuntimeLease {
    let pageSize = Int(sluice_page_size())
    let fixed = needs.shares.reduce(0) { $0 + $1.byteCount }
    let preferred = needs.limits.preferredChunkBytes
    // What cannot be had by itself is refused with the number that would do.
    let whole = try Self.divide(ledger.total, needs.shares, pageSize, preferred)
    let candidate = idle.popLast()
    let part: MemoryLedger.Part
    do throws(MemoryLedger.Refusal) {
      part = try await ledger.take(
        fixed: fixed, leastForBuffers: MemoryBudget.leastForBuffers(pageSize: pageSize), ring: candidate?.ring
      ) { bytesForBuffers in
        let buffers = try? Self.divide(fixed + bytesForBuffers, needs.shares, pageSize, preferred).buffers
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
        isWhole ? whole : try Self.divide(fixed + part.bytesForBuffers, needs.shares, pageSize, preferred)
    } catch {
      if let candidate { idle.append(candidate) }
      await ledger.giveBack(part, keeping: candidate?.ring)
      throw error
    }
    do throws(SluiceError) {
      let set = try await set(for: needs, budget, instead: candidate)
      set.ring.wantedLimit = needs.limits.isMemory ? budget.forMemory.count : budget.buffers.count
      if let most = needs.limits.mostChunks {
        // One that is read, one that waits on either side: with fewer the stages wait for each other.
        set.ring.wantedLimit = min(set.ring.wantedLimit, most + 3)
      }
      await ledger.use(set.ring, for: part)
      return RuntimeLease(budget: budget, resources: set, part: part)
    } catch {
      await ledger.giveBack(part)
      throw error
    }
  }

  private static func divide(
    _ total: Int, _ shares: [MemoryBudget.Share], _ pageSize: Int, _ preferred: Int?
  ) throws(SluiceError) -> MemoryBudget {
    do throws(MemoryBudget.TooSmall) {
      return try MemoryBudget(
        total: total, shares: shares, pageSize: pageSize, preferredChunkBytes: preferred)
    } catch {
      throw SluiceError(error)
    }
  }

  /// The set that was idle, if it is as needed; else a new one.
  private func set(
    for needs: RuntimeNeeds, _ budget: MemoryBudget, instead candidate: RuntimeSet?
  ) async throws(SluiceError) -> RuntimeSet {
    let kind = RuntimeSet.Kind(
      readers: needs.readers, queueDepth: needs.queueDepth, writeEngine: needs.writeEngine,
      registersBuffers: needs.registersBuffers, chunkBytes: budget.buffers.chunkBytes)
    if let candidate {
      if candidate.kind == kind {
        counts.reused += 1
        needs.logger.info(
          "going on with the threads, buffers and \(candidate.engine.kind) of the dump before")
        return candidate
      }
      candidate.shutdown()
    }
    let ring: BufferRing
    do throws(BufferRing.MappingFailed) {
      // Addresses for as many buffers as there could ever be: what is not used takes no memory.
      let layout = BufferLayout(count: 1, chunkBytes: kind.chunkBytes, pageSize: budget.buffers.pageSize)
      ring = try BufferRing(
        layout: BufferLayout(
          count: max(budget.buffers.count, min(ledger.total / layout.totalBytes, MemoryBudget.mostBuffers)),
          chunkBytes: layout.chunkBytes, pageSize: layout.pageSize))
    } catch {
      throw SluiceError(error)
    }
    let made = try RuntimeSet(kind: kind, ring: ring, logger: needs.logger)
    counts.made += 1
    return made
  }

  func release(_ lease: RuntimeLease, isReusable: Bool) async {
    // A buffer that is still out has been left behind with a read that does not end.
    let isReusable = isReusable && lease.ring.takenCount == 0
    if isReusable { idle.append(lease.resources) } else { lease.resources.shutdown() }
    await ledger.giveBack(lease.part, keeping: isReusable ? lease.ring : nil)
  }

  func shutdown() async {
    for set in idle {
      set.shutdown()
      await ledger.forget(set.ring)
    }
    idle = []
  }
}
