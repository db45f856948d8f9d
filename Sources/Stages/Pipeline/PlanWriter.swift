internal import CSluiceLinux
internal import SluicePipeline

/// Takes what a source says of its memory, cuts it into plans and hands these to the readers.
///
/// Not shared: a source has it for as long as it walks.
public struct PlanWriter: ~Copyable, Sendable {
  private var builder = PlanBuilder()
  /// Whose memory is being told; nil between two.
  private var current: PageOwner?
  /// The address behind what the source has told of it by the calls that are public.
  private var position: UInt64 = 0
  /// What `addNow` could not go on without.
  private var need = PlanBuilder.Need.nothing
  /// What `addNow` has left for `makeRoom`, which finds out where it is.
  private var located: MemoryRun?
  private let ring: BufferRing
  private let plans: PlanChannels
  private let chunks: ChunkChannel
  private let gate: StageGate?
  /// Whether all plans are filled when they are sent, so that no reader has to see them.
  private let isFilling: Bool
  /// Where plans go, on a machine of several nodes; nil on others.
  private var steering: PlanSteering?
  private let placing: NodePlacing?
  private let locators: (any LocatedSource)?
  private var locator: (any PageLocator)?
  /// How long the walk waited for a buffer to come back.
  private(set) var withoutBuffer = StageWait()
  /// How long it waited for a reader to take a plan.
  private(set) var plansFull = StageWait()

  /// - Parameters:
  ///   - placing: which readers there are on which nodes; nil where there is one node.
  ///   - locators: who knows where pages are; nil where nobody does.
  ///   - gate: opened when few buffers are left, for those who give them back; nil where they wait for nothing.
  ///   - isFilling: whether the source has all pages by `fill`.
  init(
    ring: BufferRing, plans: PlanChannels, chunks: ChunkChannel, placing: NodePlacing? = nil,
    locators: (any LocatedSource)? = nil, gate: StageGate? = nil, isFilling: Bool = false
  ) {
    self.gate = gate
    self.isFilling = isFilling
    self.ring = ring
    self.plans = plans
    self.chunks = chunks
    self.placing = placing
    self.locators = locators
    // The part that has most buffers is that of the node which holds most.
    let home = (0..<ring.partCount).max { ring.limit(of: $0) < ring.limit(of: $1) } ?? 0
    steering = placing.map { PlanSteering($0.placement, pageSize: ring.layout.pageSize, home: home) }
  }

  /// The size of a page in bytes: runs are whole pages.
  public var pageSize: Int { ring.layout.pageSize }

  /// The memory of a process begins; that of the one before has ended.
  ///
  /// - Throws: `SluiceError` with `cancelled`; with `invalidArgument` where that has not ended.
  public mutating func begin(_ owner: PageOwner) async throws(SluiceError) {
    if let current {
      throw SluiceError(.invalidArgument, "a source begins \(owner) before it has ended \(current)")
    }
    (current, position) = (owner, 0)
    builder.begin(owner)
    if steering != nil {
      steering?.begin()
      locator = locators?.locator(of: owner)
    }
    try await tell(.begin(owner, before: builder.nextSequence))
  }

  /// Has pages read.
  ///
  /// Returns when the last of them has a place in a buffer: so a walk is never further ahead than the budget.
  ///
  /// - Parameter run: behind all that was said of the process before, and of whole pages. One without pages says nothing.
  /// - Throws: `SluiceError` with `cancelled`, or `invalidArgument` for another run.
  public mutating func read(_ run: PageRun) async throws(SluiceError) {
    try advance(over: run)
    try await add(run.memoryRun, from: .data)
  }

  /// Takes pages whose bytes are to be had now and from the source itself, as those that come over a connection. A source
  /// that does this gives readers that have nothing left to do.
  ///
  /// - Parameters:
  ///   - run: behind all that was said of the process before, and of whole pages.
  ///   - isLazy: whether the pages may be restored on demand.
  ///   - fill: writes the next bytes of the run; called until all are written.
  /// - Throws: `SluiceError` with `cancelled`, or `invalidArgument` for another run; what `fill` throws.
  public mutating func fill(
    _ run: PageRun, isLazy: Bool = false, _ fill: (inout MutableRawSpan) throws(SluiceError) -> Void
  ) async throws(SluiceError) {
    try advance(over: run)
    if builder.set(isLazy: isLazy) == .room {
      try await sendPlan()
      _ = builder.set(isLazy: isLazy)
    }
    var rest = run.memoryRun
    while true {
      let before = rest.length
      let need = builder.add(&rest, from: .data)
      try builder.fill(last: Int(before - rest.length), fill)
      guard need != .nothing else { return }
      try await provide(need)
    }
  }

  /// Leaves pages to the parent: an earlier round has them.
  ///
  /// - Parameter run: behind all that was said of the process before, and of whole pages.
  /// - Throws: `SluiceError` with `cancelled`, or `invalidArgument` for another run.
  public mutating func leaveToParent(_ run: PageRun) async throws(SluiceError) {
    try advance(over: run)
    try await add(run.memoryRun, from: .parent)
  }

  /// All of the process's memory was told.
  ///
  /// - Throws: `SluiceError` with `cancelled`; with `invalidArgument` where it has not begun.
  public mutating func end(_ owner: PageOwner) async throws(SluiceError) {
    guard current == owner else {
      throw SluiceError(.invalidArgument, "a source ends \(owner), which has not begun, or has ended")
    }
    current = nil
    try await sendPlan()
    try await tell(.end(owner, before: builder.nextSequence))
  }

  /// Makes sure that a run can follow on what was told.
  private mutating func advance(over run: PageRun) throws(SluiceError) {
    guard current != nil else {
      throw SluiceError(.invalidArgument, "a source has pages before it has begun a process (begin)")
    }
    guard run.isWholePages(of: UInt64(pageSize)), run.address >= position else {
      let place = "\(run.byteCount) bytes at 0x\(String(run.address, radix: 16))"
      throw SluiceError(
        .invalidArgument,
        "a source has \(place) behind 0x\(String(position, radix: 16)): runs are whole pages, in address order"
      )
    }
    position = run.end
  }

  /// Makes sure that the walk has told everything to its end.
  ///
  /// - Throws: `SluiceError` with `invalidArgument`.
  func checkEnded() throws(SluiceError) {
    guard let current else { return }
    throw SluiceError(.invalidArgument, "a source's walk is over, and has not ended \(current) (end)")
  }

  /// Adds pages, as far as there is room without waiting; `makeRoom` makes more. A walk of single pages has no time for
  /// an asynchronous call for each.
  ///
  /// - Parameter run: becomes what could not be added yet.
  /// - Returns: whether all of it was.
  mutating func addNow(_ run: inout MemoryRun, from origin: PlanBuilder.Origin) -> Bool {
    guard run.length > 0 else { return true }
    // To ask where pages are takes time in any case.
    if steering != nil, origin == .data {
      (located, run.length) = (run, 0)
      return false
    }
    need = builder.add(&run, from: origin)
    return need == .nothing
  }

  /// Makes room for what could not be added.
  ///
  /// - Throws: `SluiceError` with `cancelled`.
  mutating func makeRoom() async throws(SluiceError) {
    if let run = located {
      located = nil
      return try await addToNodes(run)
    }
    try await provide(need)
    need = .nothing
  }

  /// Gets the builder what it cannot go on without.
  private mutating func provide(_ need: PlanBuilder.Need) async throws(SluiceError) {
    switch need {
    case .nothing: return
    case .buffer: builder.give(try await takeBuffer())
    case .room: try await sendPlan()
    }
  }

  private mutating func add(_ run: MemoryRun, from origin: PlanBuilder.Origin) async throws(SluiceError) {
    var rest = run
    while !addNow(&rest, from: origin) { try await makeRoom() }
  }

  /// The same on a machine of several nodes, where a plan has pages of one of them, as far as that can be.
  private mutating func addToNodes(_ run: MemoryRun) async throws(SluiceError) {
    var rest = run
    while rest.length > 0 {
      for stretch in findNodes(of: rest) {
        if steering?.turn(to: stretch, hasPlan: builder.isOpen) == true { try await sendPlan() }
        var part = MemoryRun(address: rest.address, length: stretch.byteCount)
        rest = MemoryRun(address: rest.address + part.length, length: rest.length - part.length)
        var need = PlanBuilder.Need.nothing
        repeat {
          let before = part.length
          need = builder.add(&part, from: .data)
          steering?.add(before - part.length, of: stretch)
          try await provide(need)
        } while need != .nothing
      }
    }
  }

  /// Where the beginning of a run is.
  private mutating func findNodes(of run: MemoryRun) -> [PlanSteering.Stretch] {
    guard let placing, placing.isOn, let locator, let samples = steering?.samples(of: run) else {
      return [PlanSteering.Stretch(byteCount: run.length)]
    }
    let nodes = samples.addresses.isEmpty ? [] : placing.find(samples.addresses, by: locator)
    return steering?.stretches(of: samples, on: nodes) ?? []
  }

  private mutating func takeBuffer() async throws(SluiceError) -> PageBuffer {
    // Where nothing goes by nodes, all parts serve as one.
    if steering != nil { steering?.open(at: placing?.isOn == true && locator != nil ? nil : ring.freestPart) }
    let part = steering?.place ?? 0
    if let gate, ring.isNearlyTaken(part) { gate.open() }
    if let buffer = ring.takeNow(from: part) { return buffer }
    // Also where the ring has become smaller since: whoever waits for a buffer waits for the stages behind.
    gate?.open()
    if isFilling { chunks.flush() }
    let began = sluice_monotonic_nanoseconds()
    let buffer = await ring.take(from: part)
    withoutBuffer.add(since: began, bytes: ring.layout.chunkBytes)
    guard let buffer else { throw .cancelled }
    return buffer
  }

  private mutating func sendPlan() async throws(SluiceError) {
    guard var plan = builder.takePlan() else { return }
    if steering != nil { plan.held = steering?.takeHeld() ?? [] }
    let (began, byteCount) = (sluice_monotonic_nanoseconds(), plan.byteCount)
    guard !isFilling else {
      try await tell(.chunk(PageChunk(plan, pageSize: pageSize)))
      plansFull.add(since: began, bytes: byteCount)
      return
    }
    // A channel that was failed by a later stage gives the plan back: that stage's error is the one to report.
    guard await plans.send(plan) == nil else { throw .cancelled }
    plansFull.add(since: began, bytes: byteCount)
  }

  private func tell(_ message: consuming PageMessage) async throws(SluiceError) {
    guard await chunks.send(message) == nil else { throw .cancelled }
  }
}
