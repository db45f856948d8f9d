public import CSluiceLinux
internal import Synchronization

/// What a ring is made of.
public struct BufferLayout: Hashable, Sendable {
  /// How many buffers there are.
  public let count: Int
  /// The bytes of data that one holds; whole pages.
  public let chunkBytes: Int
  /// The size of a page in bytes.
  public let pageSize: Int

  /// A ring of so many buffers; sizes in bytes.
  public init(count: Int, chunkBytes: Int, pageSize: Int) {
    self.count = count
    self.chunkBytes = chunkBytes
    self.pageSize = pageSize
  }

  /// The runs of memory that one can list: one for each page, since no run is shorter.
  public var runsPerBuffer: Int { chunkBytes / pageSize }

  /// The memory of all of them, in bytes.
  public var totalBytes: Int { count * (chunkBytes + Self.tablesPerBuffer * tableBytes) }

  /// One for the runs that were copied, one for those that are only listed, one for the hashes of pages: all have
  /// entries of one size, and one for each page.
  static let tablesPerBuffer = 3

  var tableBytes: Int { runsPerBuffer * MemoryLayout<MemoryRun>.stride }
}

/// The buffers that memory is copied through: mapped once, handed out and taken back for as long as the
/// pipeline runs, so that its memory is fixed from the start.
///
/// The buffer that came back last is handed out first: it is still in the processor's cache (measured:
/// one buffer over and over 9 GB/s, 240 in turn 6.3). One that was never needed is never touched.
public final class BufferRing: Sendable {
  private typealias Waiter = SuspendedTask<Int?>

  private struct State: WaitedFor, ~Copyable {
    var machine: BufferRingStateMachine<Waiter>
    var lastID: UInt64 = 0
    var shrinkWaiters = WaiterQueue<SuspendedTask<Bool>>()
    var emptyingHandler: (@Sendable (Int, @escaping @Sendable () -> Void) -> Void)?
  }

  /// The kernel refused the memory for the buffers.
  public struct MappingFailed: Error {
    /// The bytes that were asked for.
    public let byteCount: Int
    /// The kernel's reason.
    public let errno: SystemErrno
  }

  /// What the ring is made of.
  public let layout: BufferLayout
  private let memory: Memory
  private let state: Locked<State>
  /// How many buffers whoever uses the ring would have at most, whatever memory there is.
  private let wanted: Atomic<Int>

  /// Maps the buffers; their pages come into being when they are first written.
  ///
  /// - Throws: `MappingFailed`, with the kernel's reason.
  public init(layout: BufferLayout) throws(BufferRing.MappingFailed) {
    self.layout = layout
    memory = try Memory(byteCount: layout.totalBytes)
    wanted = Atomic(layout.count)
    state = Locked(State(machine: BufferRingStateMachine(count: layout.count)))
  }

  /// How many buffers are handed out at most: all of the layout, or fewer (`setLimit`).
  public var limit: Int { state.withLock { $0.machine.limit } }

  /// How many buffers whoever uses the ring would have at most, whatever memory there is; all, unless somebody said so.
  public var wantedLimit: Int {
    get { wanted.load(ordering: .relaxed) }
    set { wanted.store(newValue, ordering: .relaxed) }
  }

  /// Changes how many buffers are handed out at most, and so how much memory the ring takes.
  ///
  /// Under a lower limit, the memory of buffers above it goes back to the kernel: at once where they are home, else when
  /// they come home. `waitUntilWithinLimit` waits for that.
  ///
  /// - Parameter count: 0 for none; more than the layout has counts as all of these.
  public func setLimit(_ count: Int) {
    switch state.withLock({ $0.machine.setLimit(count) }) {
    case .empty(let indices): for index in indices { empty(index) }
    case .resume(let resumed): for (waiter, index) in resumed { waiter.resume(returning: index) }
    }
    resumeShrinkWaiters()
  }

  /// Waits until no buffer above the limit has memory any more.
  ///
  /// - Returns: false when the task is cancelled before that.
  public func waitUntilWithinLimit() async -> Bool {
    await state.waitInLine(orElse: false, isolation: #isolation) { state, id, waiter, isCancelled in
      if isCancelled { return (waiter, false) }
      if state.machine.isWithinLimit { return (waiter, true) }
      state.shrinkWaiters.append(waiter, id: id)
      return nil
    } leave: { state, id in
      state.shrinkWaiters.remove(id: id)
    }
  }

  private func resumeShrinkWaiters() {
    while let waiter = state.withLock({ $0.machine.isWithinLimit ? $0.shrinkWaiters.removeFirst() : nil }) {
      waiter.resume(returning: true)
    }
  }

  /// Says who gives up a buffer that the kernel knows (a registered one) before its memory goes; `then` is called after
  /// that, on any thread. Nil where nobody has to.
  func setEmptyingHandler(
    _ handler: (@Sendable (_ index: Int, _ then: @escaping @Sendable () -> Void) -> Void)?
  ) {
    state.withLock { $0.emptyingHandler = handler }
  }

  /// Gives the memory of a buffer that nobody has back to the kernel.
  private func empty(_ index: Int) {
    let finish: @Sendable () -> Void = { [self] in
      let bytes = unsafe bytes(at: index)
      unsafe sluice_give_memory_back(bytes.baseAddress, bytes.count)
      if let (waiter, index) = state.withLock({ $0.machine.emptied(index) }) {
        waiter.resume(returning: index)
      }
      resumeShrinkWaiters()
    }
    if let handler = state.withLock({ $0.emptyingHandler }) { handler(index, finish) } else { finish() }
  }

  /// Takes an empty buffer, waiting for one to come back.
  ///
  /// - Returns: nil when the task is cancelled before there is one.
  public func take() async -> PageBuffer? {
    let action = state.withLock { $0.machine.take() }
    if case .take(let index) = action { return buffer(at: index) }
    let index = await state.waitInLine(
      orElse: nil, isolation: #isolation,
      enter: { $0.machine.waitToTake(id: $1, waiter: $2, isCancelled: $3).resumed },
      leave: { $0.machine.cancelWaiter(id: $1) })
    return index.map { buffer(at: $0) }
  }

  /// Takes an empty buffer that is free at this moment; nil where none is.
  public func takeNow() -> PageBuffer? {
    let action = state.withLock { $0.machine.take() }
    guard case .take(let index) = action else { return nil }
    return buffer(at: index)
  }

  /// Has the kernel give memory, which it does else when a buffer is first written, to as many free buffers as so many
  /// bytes need, together with those that have it.
  public func touch(_ byteCount: UInt64) {
    let wanted = byteCount / UInt64(layout.chunkBytes) + 1
    // Nobody can take one of these meanwhile: they are touched under the lock, a page each in well under a microsecond.
    state.withLock { state in
      for index in state.machine.touch(Int(min(wanted, UInt64(state.machine.limit)))) {
        let bytes = unsafe bytes(at: index)
        for offset in stride(from: 0, to: layout.chunkBytes, by: layout.pageSize) { unsafe bytes[offset] = 0 }
        let tables = unsafe tables(at: index)
        for offset in stride(from: 0, to: tables.count, by: layout.pageSize) { unsafe tables[offset] = 0 }
      }
    }
  }

  /// Buffers that are out at this moment: 0 when all are home.
  public var takenCount: Int { state.withLock { $0.machine.taken } }

  /// The bytes of the buffers that had memory at once, at most: so much the ring really takes.
  public var touchedBytes: Int {
    state.withLock { $0.machine.mostTouched } * (layout.totalBytes / layout.count)
  }

  func giveBack(_ index: Int) {
    switch state.withLock({ $0.machine.giveBack(index) }) {
    case .none: break
    case .resume(let waiter, let index): waiter.resume(returning: index)
    case .empty(let index): empty(index)
    }
  }

  /// The memory of a buffer, whoever holds it.
  func bytes(at index: Int) -> UnsafeMutableRawBufferPointer {
    // All chunks come first, the tables after them: so every chunk begins at a page.
    unsafe UnsafeMutableRawBufferPointer(
      start: memory.start + index * layout.chunkBytes, count: layout.chunkBytes)
  }

  private func buffer(at index: Int) -> PageBuffer {
    unsafe PageBuffer(
      ring: self, index: index, bytes: bytes(at: index), runTable: table(0, at: index),
      listTable: table(1, at: index), hashTable: table(2, at: index))
  }

  /// The memory of all tables of a buffer, whoever holds it.
  private func tables(at index: Int) -> UnsafeMutableRawBufferPointer {
    let byteCount = BufferLayout.tablesPerBuffer * layout.tableBytes
    let first = unsafe memory.start + layout.count * layout.chunkBytes
    return unsafe UnsafeMutableRawBufferPointer(start: first + index * byteCount, count: byteCount)
  }

  private func table<Entry>(_ number: Int, at index: Int) -> UnsafeMutableBufferPointer<Entry> {
    precondition(
      MemoryLayout<Entry>.stride == MemoryLayout<MemoryRun>.stride, "all tables have entries of one size")
    let start = unsafe tables(at: index).baseAddress! + number * layout.tableBytes
    return unsafe UnsafeMutableBufferPointer(
      start: start.bindMemory(to: Entry.self, capacity: layout.runsPerBuffer),
      count: layout.runsPerBuffer)
  }
}

/// An anonymous mapping, unmapped when its owner goes.
@safe
private struct Memory: ~Copyable, @unchecked Sendable {
  let start: UnsafeMutableRawPointer
  private let byteCount: Int

  init(byteCount: Int) throws(BufferRing.MappingFailed) {
    var code: Int32 = 0
    guard let start = unsafe sluice_map_buffers(byteCount, &code) else {
      throw BufferRing.MappingFailed(byteCount: byteCount, errno: SystemErrno(code: code))
    }
    unsafe self.start = unsafe start
    self.byteCount = byteCount
  }

  deinit {
    // Where it is part of a larger mapping, and this process has as many mappings as it may, the addresses stay taken;
    // the memory is given back all the same.
    unsafe sluice_unmap(start, byteCount)
  }
}
