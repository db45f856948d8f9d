/// The memory that a walk goes through: a process as the kernel lists it, or a script of a test.
protocol WalkedMemory: ~Copyable {
  /// The next area, in address order; nil after the last.
  ///
  /// - Throws: `TargetError` when the mappings cannot be listed, or the memory is gone.
  mutating func nextArea() throws(TargetError) -> MappedArea?

  /// Cuts the area that was given last into `registered`.
  ///
  /// - Throws: `TargetError` when the memory is gone.
  mutating func cutByRegistration(_ area: MappedArea) throws(TargetError)

  /// The ranges of the area that was cut last: without gaps, in address order.
  var registered: [RegisteredRanges.Entry] { get }
}

/// A range of addresses, all of which a walk looks at in the same way.
struct WalkPiece: Hashable {
  /// The addresses, whole pages.
  var range: Range<UInt64>
  /// Which pages are taken.
  let pages: MappedArea.Pages
  /// How it is found out which of them were written.
  let writes: DirtyCriterion

  /// Its first part, and what is left then; nil where that is all.
  ///
  /// - Parameter byteCount: how large the part is at most; memory that is taken whole is one part.
  func cut(atMost byteCount: UInt64) -> (part: WalkPiece, left: WalkPiece?) {
    guard pages != .all else { return (self, nil) }
    return (
      WalkPiece(range: range.lowerBound..<range.stepEnd(byteCount), pages: pages, writes: writes),
      behind(range.stepEnd(byteCount))
    )
  }

  /// What of it is behind an address; nil where nothing is.
  func behind(_ address: UInt64) -> WalkPiece? {
    guard address < range.upperBound else { return nil }
    return WalkPiece(range: address..<range.upperBound, pages: pages, writes: writes)
  }
}

/// Cuts the memory of a process into pieces, from low addresses to high ones: the one place with the rules for that.
struct WalkPieces<Memory: WalkedMemory & ~Copyable>: ~Copyable {
  private(set) var memory: Memory
  private let mode: WalkMode
  private let probesHideWrites: Bool
  private var pinned: PinnedMemory.Cursor
  /// The area that is being cut; nil before the first, and when its last piece was given.
  private var area: MappedArea?
  /// Which of the ranges of `area` is being cut, by its place in `memory.registered`.
  private var index = 0
  /// Where the next piece begins, or lies above.
  private var position: UInt64 = 0

  /// - Parameters:
  ///   - memory: what is cut.
  ///   - mode: how it is looked at.
  ///   - pinned: what of it devices have pinned.
  ///   - probesHideWrites: whether this kernel replaces code by probes and tells nothing of it.
  init(
    of memory: consuming Memory, mode: WalkMode, pinned: PinnedMemory = .none,
    probesHideWrites: Bool = KernelSupport.probesHideWrites
  ) {
    self.memory = memory
    self.mode = mode
    self.pinned = pinned.cursor
    self.probesHideWrites = probesHideWrites
  }

  /// The next piece; nil after the last of the memory.
  ///
  /// - Throws: `TargetError` when the mappings cannot be listed, or the memory is gone.
  mutating func next() throws(TargetError) -> WalkPiece? {
    while true {
      if let piece = nextOfArea() { return piece }
      guard let area = try memory.nextArea() else { return nil }
      try begin(area)
    }
  }

  /// Goes to an area, which lies above those before.
  ///
  /// - Throws: `TargetError` when the memory is gone.
  mutating func begin(_ area: MappedArea) throws(TargetError) {
    if isCut(area) { try memory.cutByRegistration(area) }
    self.area = area
    (index, position) = (0, area.start)
  }

  /// The next piece of the area; nil after the last.
  mutating func nextOfArea() -> WalkPiece? {
    while let area {
      guard position < area.end else {
        self.area = nil
        return nil
      }
      var (end, isRegistered) = (area.end, true)
      if isCut(area) {
        let entry = memory.registered[index]
        (end, isRegistered) = (entry.range.upperBound, entry.isRegistered)
      }
      let (isPinned, pinEnd) = pinned.next(in: position..<end)
      let range = position..<(area.pages == .all ? end : pinEnd)
      position = range.upperBound
      if position == end { index += 1 }
      if let writes = mode.criterion(
        for: area, isRegistered: isRegistered, isPinned: isPinned, probesHideWrites: probesHideWrites)
      {
        return WalkPiece(range: range, pages: area.pages, writes: writes)
      }
    }
    return nil
  }

  private func isCut(_ area: MappedArea) -> Bool { mode.cutsByRegistration && area.pages != .all }

  /// The next mapping by itself, whether or not it is taken: `nextOfArea` then gives its pieces, as those of an area.
  ///
  /// - Throws: `TargetError` when the mappings cannot be listed, or the memory is gone.
  mutating func nextMapping() throws(TargetError) -> (vma: VMA, treatment: VMATreatment)?
  where Memory == ListedMemory {
    area = nil
    guard let mapping = try memory.nextMapping() else { return nil }
    if let area = mapping.area { try begin(area) }
    return (mapping.vma, mapping.treatment)
  }
}

/// The memory of a process as the kernel lists it.
struct ListedMemory: WalkedMemory, ~Copyable {
  private(set) var areas: MappedAreas
  private var ranges: RegisteredRanges?

  /// - Parameter refused: what cannot be registered for write protection; nil where the walk does not ask what is
  ///   registered.
  init(of process: TargetProcess, refused: RefusedMemory? = nil) {
    areas = MappedAreas(of: process)
    ranges = refused.map { RegisteredRanges(of: process, refused: $0) }
  }

  var registered: [RegisteredRanges.Entry] {
    switch ranges {
    case .some(let ranges): ranges.entries
    case .none: []
    }
  }

  mutating func nextArea() throws(TargetError) -> MappedArea? { try areas.next() }

  mutating func nextMapping() throws(TargetError) -> MappedAreas.Mapping? { try areas.nextMapping() }

  mutating func cutByRegistration(_ area: MappedArea) throws(TargetError) {
    try ranges?.cut(area, starts: areas.starts)
  }
}
