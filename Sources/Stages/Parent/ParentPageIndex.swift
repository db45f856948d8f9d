internal import SluiceImages
internal import SluiceTarget

/// What is known of a process's pages before they are read: which were written since the parent's images were
/// made, and which those have. Asked from low addresses to high ones.
struct ParentPageIndex: ~Copyable {
  private var dirty: DirtySet.Cursor?
  private var coverage: PagemapCoverage?
  /// The same, where it was read before.
  private var ranges: CoveredRanges?

  /// Nothing is known: everything is copied.
  init() {}

  /// Whether there is something that pages may be left to.
  var hasBase: Bool { dirty != nil }

  /// - Parameter coverage: nil where the parent has nothing of this process.
  init(dirty: DirtySet.Cursor, coverage: consuming PagemapCoverage?) {
    self.dirty = dirty
    self.coverage = coverage
  }

  /// - Parameter ranges: what the parent has of this process.
  init(dirty: DirtySet.Cursor, ranges: CoveredRanges) {
    self.dirty = dirty
    self.ranges = ranges
  }

  /// Whether the start of a range need not be copied, and up to where that holds.
  ///
  /// A clean page is left to the parent only where that really has it: CRIU does not accept a page that is
  /// promised and not there.
  ///
  /// - Parameter mustCopy: the pages are to be copied whether or not they were written.
  /// - Throws: `SluiceError` when the parent's images are broken.
  mutating func next(
    in range: Range<UInt64>, mustCopy: Bool
  ) throws(SluiceError) -> (isInParent: Bool, end: UInt64) {
    guard !mustCopy, let written = dirty?.next(in: range) else { return (false, range.upperBound) }
    if written.isDirty { return (false, written.end) }
    if let had = ranges?.next(in: range.lowerBound..<written.end) { return (had.isCovered, had.end) }
    do throws(ImagesError) {
      guard let had = try coverage?.next(in: range.lowerBound..<written.end) else {
        return (false, written.end)
      }
      return (had.isCovered, had.end)
    } catch {
      throw SluiceError(error)
    }
  }
}
