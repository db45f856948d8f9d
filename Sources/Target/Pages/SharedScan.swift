/// The memory of a process that stands still, cut into parts that threads scan side by side.
public protocol SharedScan: AnyObject, Sendable {
  /// Cuts off the next part; nil after the last. For one thread at a time.
  ///
  /// - Parameter byteCount: how large it is at most; memory that is taken whole is one part.
  /// - Throws: `TargetError` when the mappings cannot be listed, or the memory is gone.
  func cut(atMost byteCount: UInt64) throws(TargetError) -> ScanPart?

  /// Makes a scanner of such parts, for one thread.
  ///
  /// - Throws: `TargetError` when the kernel does not tell page states.
  func makeScanner() throws(TargetError) -> any PartScanner
}

/// A part of the memory of a process.
public struct ScanPart: Sendable {
  let piece: WalkPiece

  /// Its length in bytes.
  public var byteCount: UInt64 { piece.range.upperBound - piece.range.lowerBound }
}

/// Scans parts of the memory of a process, for one thread.
public protocol PartScanner: AnyObject {
  /// Scans a whole part.
  ///
  /// - Parameter runs: gets what was found, in address order, in place of what is in it.
  /// - Throws: `TargetError` when the memory is gone, or the kernel refuses.
  func scan(_ part: ScanPart, into runs: inout [ScannedRun]) throws(TargetError)

  /// What it came across so far.
  var tally: PageTally { get }
}

/// The walk through a process that stands still, which one thread may go by itself or several together.
public final class SharedWalk: SharedScan {
  /// Whoever uses the walk sees to it that no other does at the same time.
  private nonisolated(unsafe) var walk: PageWalk
  private let terms: PageScanner.Terms

  /// Takes a walk that has not begun.
  public init(_ walk: consuming sending PageWalk) {
    terms = walk.scannerTerms
    unsafe self.walk = walk
  }

  /// Goes on by a step, as `PageWalk.next`. For one thread at a time, as `cut`.
  ///
  /// - Parameter runs: gets what was found, in place of what is in it.
  /// - Returns: false after the last step.
  /// - Throws: `TargetError` when the memory is gone, or the kernel refuses.
  public func next(into runs: inout [ScannedRun]) throws(TargetError) -> Bool {
    unsafe try walk.next(into: &runs)
  }

  /// Cuts off the next part of the walk: `SharedScan.cut`.
  public func cut(atMost byteCount: UInt64) throws(TargetError) -> ScanPart? {
    unsafe try walk.cut(atMost: byteCount).map { ScanPart(piece: $0) }
  }

  /// Makes a scanner that finds what the walk itself would find.
  ///
  /// - Throws: `TargetError` when the kernel does not tell page states.
  public func makeScanner() throws(TargetError) -> any PartScanner {
    OwnPagesScanner(try PageScanner(by: terms))
  }

  /// Pages that the steps came across and that are not simply there; those of parts are told by their scanners.
  public var tally: PageTally { unsafe walk.tally }
  /// How many mappings the walk came across so far.
  public var mappings: Int { unsafe walk.mappings }
  /// How many of those were left out, by reason.
  public var skipped: [SkipReason: Int] { unsafe walk.skipped }
  /// Whether there were probes among them: `PageWalk.haveProbes`.
  public var haveProbes: Bool { unsafe walk.haveProbes }
}

private final class OwnPagesScanner: PartScanner {
  private var scanner: PageScanner

  init(_ scanner: consuming PageScanner) { self.scanner = scanner }

  var tally: PageTally { scanner.tally }

  func scan(_ part: ScanPart, into runs: inout [ScannedRun]) throws(TargetError) {
    try scanner.scan(part.piece, into: &runs)
  }
}
