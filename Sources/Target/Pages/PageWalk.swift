/// Walks the memory of a process from low addresses to high ones, and finds the pages that are the process' own.
///
/// It goes in steps, of which each holds the process' mmap_lock for a short time only (`PageScanner`). Its memory has a
/// fixed size, and no step allocates.
///
/// There are two ways to use it. `next` goes from step to step through areas, in which neighbouring mappings are joined.
/// `nextMapping` goes to the next mapping by itself, and `nextOfMapping` from step to step through that; this is for few
/// mappings, or where it matters which mapping a page is in.
public struct PageWalk: ~Copyable {
  private var pieces: WalkPieces<ListedMemory>
  private var scanner: PageScanner
  /// What is left of the piece that is being scanned.
  private var piece: WalkPiece?

  /// Walks without write protection.
  ///
  /// - Parameters:
  ///   - process: whose memory.
  ///   - source: where page states come from; nil takes the best that this kernel has.
  ///   - swapped: what becomes of pages that are in swap.
  ///   - leavesToParent: whether pages may be left to a parent's images, since it is known which were written. Those of
  ///     which nothing tells that they were written then must be copied.
  ///   - standing: what was found of the io_urings of the process while it is stopped; nil where it runs.
  /// - Throws: `TargetError` when the kernel does not tell page states, or the process has ended.
  public init(
    of process: TargetProcess, source: PageScanner.Source? = nil, swapped: SwappedPages = .read,
    leavesToParent: Bool = false, standing: AsyncIOQuiescence? = nil
  ) throws(TargetError) {
    let scanner = try PageScanner(
      of: process, source: source, swapped: swapped, standsStill: standing != nil)
    // The soft-dirty bits of pinned huge pages do not tell what devices write into them.
    let pinned = leavesToParent ? try PinnedMemory(of: process, rings: standing?.rings(of: process)) : .none
    self.scanner = scanner
    pieces = WalkPieces(
      of: ListedMemory(of: process), mode: leavesToParent ? .knownWrites : .everything, pinned: pinned)
  }

  /// Walks a process whose writes are found out by write protection. Registers the mappings that are new first.
  ///
  /// - Parameters:
  ///   - process: whose memory; that of `protection`.
  ///   - protection: what finds out its writes.
  ///   - mode: how the memory is looked at.
  ///   - swapped: what becomes of pages that are in swap.
  ///   - standing: what was found of the io_urings of the process while it is stopped; nil where it runs.
  /// - Throws: `TargetError` when the kernel does not tell page states, or the memory is gone, or our task was cancelled.
  public init(
    of process: TargetProcess, by protection: WriteProtection, mode: WalkMode, swapped: SwappedPages = .read,
    standing: AsyncIOQuiescence? = nil
  ) throws(TargetError) {
    // Also where nothing is protected: what is new may be protected by somebody else, which tells us nothing.
    let refused = try protection.registerNew()
    let scanner = try PageScanner(
      of: process, source: .pagemapScan, swapped: swapped, standsStill: standing != nil)
    let pinned =
      mode.heedsHiddenWrites ? try PinnedMemory(of: process, rings: standing?.rings(of: process)) : .none
    self.scanner = scanner
    pieces = WalkPieces(of: ListedMemory(of: process, refused: refused), mode: mode, pinned: pinned)
  }

  /// The runs that the last step found, in address order; those that touch differ in what is to be done.
  ///
  /// They are best looked at by index: where somebody keeps a copy of the array, the next step must allocate a new one.
  public var runs: [ScannedRun] { scanner.runs }
  /// Pages that all steps came across and that are not simply there.
  public var tally: PageTally { scanner.tally }
  /// How many mappings the walk came across so far.
  public var mappings: Int { pieces.memory.areas.mappings }
  /// How many of those were left out, by reason.
  public var skipped: [SkipReason: Int] { pieces.memory.areas.skipped }
  /// Whether there were probes among them: the kernel keeps its page for them (uprobes) to the end of the process.
  public var haveProbes: Bool { pieces.memory.areas.haveProbes }

  /// Goes on by a step.
  ///
  /// - Returns: false after the last step. Else `runs` has what the step found, which may be nothing.
  /// - Throws: `TargetError` when the memory is gone, or the kernel refuses.
  public mutating func next() throws(TargetError) -> Bool {
    if piece == nil { piece = try pieces.next() }
    return try scan()
  }

  /// Goes to the next mapping, whether or not its pages are taken; what is left of the one before is passed over.
  ///
  /// - Returns: the mapping and how it is treated; nil after the last.
  /// - Throws: `TargetError` when the mappings cannot be listed, or the memory is gone.
  public mutating func nextMapping() throws(TargetError) -> (vma: VMA, treatment: VMATreatment)? {
    piece = nil
    return try pieces.nextMapping()
  }

  /// Goes on by a step through the mapping.
  ///
  /// - Returns: false after the last step, and at once for a mapping of which nothing is taken. Else `runs` has what the
  ///   step found, which may be nothing.
  /// - Throws: `TargetError` when the memory is gone, or the kernel refuses.
  public mutating func nextOfMapping() throws(TargetError) -> Bool {
    if piece == nil { piece = pieces.nextOfArea() }
    return try scan()
  }

  /// Scans the first part of what is left of the piece.
  private mutating func scan() throws(TargetError) -> Bool {
    guard let scanned = piece else { return false }
    piece = scanned.behind(try scanner.step(through: scanned))
    return true
  }

  /// Goes on by a step, as `next`, and gives its runs for others, whose memory the next step uses.
  mutating func next(into runs: inout [ScannedRun]) throws(TargetError) -> Bool {
    scanner.exchangeRuns(&runs)
    defer { scanner.exchangeRuns(&runs) }
    return try next()
  }

  /// Cuts off the next part, for somebody else to scan; nil after the last.
  ///
  /// - Parameter byteCount: how large it is at most; memory that is taken whole is one part.
  /// - Throws: `TargetError` when the mappings cannot be listed, or the memory is gone.
  mutating func cut(atMost byteCount: UInt64) throws(TargetError) -> WalkPiece? {
    if piece == nil { piece = try pieces.next() }
    guard let whole = piece else { return nil }
    let (part, left) = whole.cut(atMost: byteCount)
    piece = left
    return part
  }

  /// How its pages are looked at, for scanners of what is cut off.
  var scannerTerms: PageScanner.Terms { scanner.terms }
}
