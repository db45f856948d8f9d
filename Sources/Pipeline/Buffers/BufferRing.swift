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
///
/// Where there are several nodes (NUMA), a ring has a part for each, which are rings of their own but for how many buffers
/// there are together.
public final class BufferRing: Sendable {
  private typealias Waiter = SuspendedTask<Int?>

  private struct State: WaitedFor, ~Copyable {
    var machine: BufferRingStateMachine<Waiter>
    var lastID: UInt64 = 0
    var shrinkWaiters = WaiterQueue<SuspendedTask<Bool>>()
    var emptyingHandler: (@Sendable (Int, @escaping @Sendable () -> Void) -> Void)?
    /// The node that the buffers are to be on; nil where the kernel chooses.
    var node: Int?
    /// For each buffer, whether its memory is where it is to be; nil where nobody has looked since it got any.
    var isOnNode: [Bool?] = []
  }

  /// Some of the buffers.
  private final class Part: Sendable {
    /// The first of its buffers.
    let first: Int
    let state: Locked<State>

    init(first: Int, count: Int) {
      self.first = first
      state = Locked(State(machine: BufferRingStateMachine(count: count)))
    }
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
  private let parts: [Part]
  private let shares: Locked<BufferShares>
  /// How many buffers whoever uses the ring would have at most, whatever memory there is.
  private let wanted: Atomic<Int>

  /// Maps the buffers; their pages come into being when they are first written.
  ///
  /// - Parameters:
  ///   - layout: of all parts together.
  ///   - parts: how many there are, of equal size; each may have as many buffers as its share of the limit is.
  /// - Throws: `MappingFailed`, with the kernel's reason.
  public init(layout: BufferLayout, parts count: Int = 1) throws(BufferRing.MappingFailed) {
    precondition(count > 0 && layout.count % count == 0, "all parts have equally many buffers")
    self.layout = layout
    memory = try Memory(byteCount: layout.totalBytes)
    wanted = Atomic(layout.count)
    let each = layout.count / count
    parts = (0..<count).map { Part(first: $0 * each, count: each) }
    shares = Locked(BufferShares(parts: count, mostInPart: each))
  }

  /// How many parts there are.
  public var partCount: Int { parts.count }

  /// The fewest buffers with which none of the parts comes to a stand.
  var fewestBuffers: Int { shares.withLock { $0.fewest } }

  private func part(of index: Int) -> Part {
    parts.count == 1 ? parts[0] : parts[index / (layout.count / parts.count)]
  }

  /// How many buffers are handed out at most: all of the layout, or fewer (`setLimit`).
  public var limit: Int { parts.reduce(0) { $0 + $1.state.withLock { $0.machine.limit } } }

  /// The same of one part.
  public func limit(of part: Int) -> Int { parts[part].state.withLock { $0.machine.limit } }

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
    let counts = shares.withLock { $0.divide(count) }
    for (part, count) in zip(parts, counts) { setLimit(count, of: part) }
  }

  private func setLimit(_ count: Int, of part: Part) {
    switch part.state.withLock({ $0.machine.setLimit(count) }) {
    case .empty(let indices): for index in indices { empty(part.first + index) }
    case .resume(let resumed): for (waiter, index) in resumed { waiter.resume(returning: part.first + index) }
    }
    resumeShrinkWaiters(of: part)
  }

  /// Says what each part is to have of all buffers, in proportion. Parts that have more shrink at once, and no part grows
  /// before the next `setLimit`: in between, `waitUntilWithinLimit` tells when they have shrunk.
  public func setShares(_ weights: [Double]) {
    precondition(weights.count == parts.count, "every part has a share")
    let now = limit
    let counts = shares.withLock { shares in
      shares.weights = weights
      return shares.divide(now)
    }
    for (part, count) in zip(parts, counts) {
      setLimit(min(count, part.state.withLock { $0.machine.limit }), of: part)
    }
  }

  /// Waits until no buffer above the limit has memory any more.
  ///
  /// - Returns: false when the task is cancelled before that.
  public func waitUntilWithinLimit() async -> Bool {
    for part in parts {
      let isWithin = await part.state.waitInLine(orElse: false, isolation: #isolation) {
        state, id, waiter, isCancelled in
        if isCancelled { return (waiter, false) }
        if state.machine.isWithinLimit { return (waiter, true) }
        state.shrinkWaiters.append(waiter, id: id)
        return nil
      } leave: { state, id in
        state.shrinkWaiters.remove(id: id)
      }
      guard isWithin else { return false }
    }
    return true
  }

  private func resumeShrinkWaiters(of part: Part) {
    while let waiter = part.state.withLock({
      $0.machine.isWithinLimit ? $0.shrinkWaiters.removeFirst() : nil
    }) {
      waiter.resume(returning: true)
    }
  }

  /// Says who gives up a buffer that the kernel knows (a registered one) before its memory goes; `then` is called after
  /// that, on any thread. Nil where nobody has to.
  func setEmptyingHandler(
    _ handler: (@Sendable (_ index: Int, _ then: @escaping @Sendable () -> Void) -> Void)?
  ) {
    for part in parts { part.state.withLock { $0.emptyingHandler = handler } }
  }

  /// Gives the memory of a buffer that nobody has back to the kernel.
  private func empty(_ index: Int) {
    let part = part(of: index)
    let finish: @Sendable () -> Void = { [self] in
      let bytes = unsafe bytes(at: index)
      unsafe sluice_give_memory_back(bytes.baseAddress, bytes.count)
      let next = part.state.withLock { state in
        if !state.isOnNode.isEmpty { state.isOnNode[index - part.first] = nil }
        return state.machine.emptied(index - part.first)
      }
      if let (waiter, index) = next { waiter.resume(returning: part.first + index) }
      resumeShrinkWaiters(of: part)
    }
    if let handler = part.state.withLock({ $0.emptyingHandler }) { handler(index, finish) } else { finish() }
  }

  /// Takes an empty buffer, waiting for one to come back.
  ///
  /// - Parameter part: of which part.
  /// - Returns: nil when the task is cancelled before there is one.
  public func take(from part: Int = 0) async -> PageBuffer? {
    let part = parts[part]
    let action = part.state.withLock { $0.machine.take() }
    if case .take(let index) = action { return buffer(at: part.first + index) }
    let index = await part.state.waitInLine(
      orElse: nil, isolation: #isolation,
      enter: { state, id, waiter, isCancelled in
        let resumed = state.machine.waitToTake(id: id, waiter: waiter, isCancelled: isCancelled).resumed
        return resumed.map { ($0, $1.map { part.first + $0 }) }
      },
      leave: { $0.machine.cancelWaiter(id: $1) })
    return index.map { buffer(at: $0) }
  }

  /// Has whoever waits for a buffer be resumed only when so many are home, or a quarter of all. To wake a thread costs as
  /// much as to read a tenth of a buffer (some 50 µs on a virtual machine), and with one buffer it soon waits again.
  ///
  /// - Parameter count: more than 1 only where all buffers come home without another one being taken.
  public func setBatch(_ count: Int) {
    for part in parts { part.state.withLock { $0.machine.batch = count } }
  }

  /// Takes an empty buffer that is free at this moment; nil where none is.
  ///
  /// - Parameter part: the part of the ring that it is to be of.
  public func takeNow(from part: Int = 0) -> PageBuffer? {
    let part = parts[part]
    let action = part.state.withLock { $0.machine.take() }
    guard case .take(let index) = action else { return nil }
    return buffer(at: part.first + index)
  }

  /// Has the kernel give memory, which it does else when a buffer is first written, to as many free buffers as so many
  /// bytes need, together with those that have it.
  public func touch(_ byteCount: UInt64) {
    let wanted = Int(clamping: byteCount / UInt64(layout.chunkBytes) + 1)
    let counts = parts.count == 1 ? [min(wanted, limit)] : shares.withLock { $0.divide(min(wanted, limit)) }
    for (part, count) in zip(parts, counts) {
      // Nobody can take one of these meanwhile: they are touched under the lock, a page each in well under a microsecond.
      part.state.withLock { state in
        for index in state.machine.touch(min(count, state.machine.limit)) {
          touch(index: part.first + index)
          if let node = state.node { state.isOnNode[index] = isOnNode(part.first + index, node) }
        }
      }
    }
  }

  private func touch(index: Int) {
    let bytes = unsafe bytes(at: index)
    for offset in stride(from: 0, to: layout.chunkBytes, by: layout.pageSize) { unsafe bytes[offset] = 0 }
    let tables = unsafe tables(at: index)
    for offset in stride(from: 0, to: tables.count, by: layout.pageSize) { unsafe tables[offset] = 0 }
  }

  /// Buffers that are out at this moment: 0 when all are home.
  public var takenCount: Int { parts.reduce(0) { $0 + $1.state.withLock { $0.machine.taken } } }

  /// Whether three quarters of a part's buffers, or more, are out at this moment.
  public func isNearlyTaken(_ part: Int) -> Bool {
    parts[part].state.withLock { $0.machine.taken * 4 >= $0.machine.limit * 3 }
  }

  /// The part of which most buffers are home.
  public var freestPart: Int {
    parts.indices.max {
      let one = parts[$0].state.withLock { $0.machine.limit - $0.machine.taken }
      let other = parts[$1].state.withLock { $0.machine.limit - $0.machine.taken }
      return (one, $1) < (other, $0)
    } ?? 0
  }

  /// The bytes of the buffers that had memory at once, at most: so much the ring really takes.
  public var touchedBytes: Int {
    parts.reduce(0) { $0 + $1.state.withLock { $0.machine.mostTouched } } * (layout.totalBytes / layout.count)
  }

  func giveBack(_ index: Int) {
    let part = part(of: index)
    switch part.state.withLock({ $0.machine.giveBack(index - part.first) }) {
    case .none: break
    case .resume(let waiter, let index): waiter.resume(returning: part.first + index)
    case .empty(let index): empty(part.first + index)
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

// MARK: Nodes

extension BufferRing {
  /// How many buffers are where they are to be, and how many elsewhere, as the kernel tells of those that were looked at.
  public struct Located: Hashable, Sendable {
    /// On the node of their part.
    public var onNode = 0
    /// Elsewhere.
    public var elsewhere = 0
  }

  /// Has the memory of a part's buffers come from a node from now on, as long as it has some.
  ///
  /// - Returns: nil, or why the kernel refuses.
  public func place(part number: Int, on node: Int) -> SystemErrno? {
    let part = parts[number]
    let count = layout.count / parts.count
    let start = unsafe bytes(at: part.first).baseAddress
    let result = unsafe sluice_prefer_node(start, count * layout.chunkBytes, UInt32(node))
    guard result == 0 else { return SystemErrno(code: -result) }
    part.state.withLock { state in
      state.node = node
      state.isOnNode = Array(repeating: nil, count: count)
    }
    return nil
  }

  /// Of the buffers of a part that have memory now.
  public func located(part: Int) -> Located {
    parts[part].state.withLock { state in
      state.isOnNode.reduce(into: Located()) { located, isOnNode in
        if isOnNode == true { located.onNode += 1 }
        if isOnNode == false { located.elsewhere += 1 }
      }
    }
  }

  func partNumber(of index: Int) -> Int { parts.count == 1 ? 0 : index / (layout.count / parts.count) }

  /// Makes sure once that a buffer has memory, and that of the right node.
  ///
  /// - Returns: nil where the kernel chooses, or does not tell.
  func settle(_ index: Int) -> Bool? {
    let part = part(of: index)
    let (node, known) = part.state.withLock { state in
      (state.node, state.node == nil ? nil : state.isOnNode[index - part.first])
    }
    guard let node else { return nil }
    if let known { return known }
    touch(index: index)
    let found = isOnNode(index, node)
    part.state.withLock { $0.isOnNode[index - part.first] = found }
    return found
  }

  /// Asks the kernel where the pages are.
  private func isOnNode(_ index: Int, _ node: Int) -> Bool? {
    let bytes = unsafe bytes(at: index)
    let start = UInt64(UInt(bitPattern: bytes.baseAddress))
    let addresses = stride(from: 0, to: bytes.count, by: layout.pageSize).map { start + UInt64($0) }
    var nodes = [Int32](repeating: -1, count: addresses.count)
    let result = unsafe sluice_nodes_of_pages(0, addresses.count, addresses, &nodes)
    return result == 0 ? nodes.allSatisfy { $0 == Int32(node) } : nil
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
