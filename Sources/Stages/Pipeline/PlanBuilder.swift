internal import CSluiceLinux
internal import SluicePipeline

/// Cuts the runs of a walk into plans, each as large as a buffer, and numbers them.
struct PlanBuilder: ~Copyable {
  /// Where the pages of a run come from.
  enum Origin: Hashable {
    /// They are to be read.
    case data
    /// An earlier round has them.
    case parent
  }

  /// What is to be done before more can be added.
  enum Need: Hashable {
    case nothing
    /// Give an empty buffer (`give`).
    case buffer
    /// Take the plan, which is full (`takePlan`).
    case room
  }

  private var owner: PageOwner?
  /// Whether the pages that follow may be restored on demand, which holds for all pages of a plan alike.
  private var isLazy = false
  private var open: PageBuffer?
  private(set) var nextSequence: UInt64 = 0
  /// Whether a plan is open.
  var isOpen: Bool { open != nil }

  /// The runs that follow are of this owner. Nothing of another may be open.
  mutating func begin(_ owner: PageOwner) {
    precondition(open == nil, "the last plan of one owner was taken before another begins")
    self.owner = owner
  }

  /// Adds pages behind those that were added before.
  ///
  /// - Parameter run: becomes what could not be added yet.
  mutating func add(_ run: inout MemoryRun, from origin: Origin) -> Need {
    guard run.length > 0 else { return .nothing }
    guard open != nil else { return .buffer }
    switch origin {
    case .data:
      let added = open?.append(run) ?? 0
      run.address += added
      run.length -= added
    case .parent:
      if open?.list(run) == true { run.length = 0 }
    }
    return run.length > 0 ? .room : .nothing
  }

  /// The pages that follow may be restored on demand, or not.
  ///
  /// - Returns: what is to be done before.
  mutating func set(isLazy: Bool) -> Need {
    guard isLazy != self.isLazy else { return .nothing }
    guard open == nil else { return .room }
    self.isLazy = isLazy
    return .nothing
  }

  /// Has the bytes written of pages that were added last.
  ///
  /// - Parameters:
  ///   - byteCount: as many bytes as the last call of `add` has added, from a source of `data`.
  ///   - fill: writes all of them.
  /// - Throws: what `fill` throws.
  mutating func fill<Failure: Error>(
    last byteCount: Int, _ fill: (inout MutableRawSpan) throws(Failure) -> Void
  ) throws(Failure) {
    guard byteCount > 0, let end = open?.byteCount, let bytes = unsafe open?.bytes else { return }
    var room = unsafe MutableRawSpan(
      _unsafeBytes: UnsafeMutableRawBufferPointer(rebasing: bytes[end - byteCount..<end]))
    try fill(&room)
  }

  /// Takes an empty buffer for what comes next.
  mutating func give(_ buffer: consuming PageBuffer) {
    precondition(open == nil, "one plan is open at a time")
    open = consume buffer
  }

  /// The plan that is open, whether or not it is full; nil where nothing is.
  mutating func takePlan() -> ReadPlan? {
    guard let buffer = open.take() else { return nil }
    guard let owner else { preconditionFailure("a plan has an owner") }
    defer { nextSequence += 1 }
    return ReadPlan(sequence: nextSequence, owner: owner, buffer: buffer, isLazy: isLazy)
  }
}
