internal import CSluiceLinux
internal import SluicePipeline

/// One buffer's worth of the pages of a process, on its way from a source to a sink.
///
/// It cannot be copied. The buffer goes back to the ring, for other pages, when the chunk goes: a sink that holds many
/// chunks for long holds the source up, and memory stays within the budget.
public struct PageChunk: ~Copyable, Sendable {
  /// Whose pages they are.
  public let owner: PageOwner
  /// The place of the chunk among all of the run, counted from 0. Sinks and filters get chunks in this order.
  public let sequence: UInt64
  var buffer: PageBuffer
  /// What of the bytes is to be written: all but zeros.
  private(set) var data: NonZeroExtents
  private var areZerosFound: Bool
  /// Whether its pages may be restored on demand, as CRIU's flag `PE_LAZY` has it. Only images and page servers say so.
  public let isLazy: Bool
  /// Bytes that were read, whether or not they are left to the parent since.
  let readBytes: Int

  /// - Parameter findsZeros: whether zeros are looked for now, while the bytes are in the cache; else `findZeros` does.
  init(_ plan: consuming ReadPlan, pageSize: Int, findsZeros: Bool = true) {
    owner = plan.owner
    sequence = plan.sequence
    data = findsZeros ? NonZeroExtents(of: plan.buffer, pageSize: pageSize) : NonZeroExtents()
    areZerosFound = findsZeros
    readBytes = plan.buffer.byteCount
    isLazy = plan.isLazy
    buffer = plan.buffer
  }

  /// Looks for pages of zeros, where that was left for later.
  mutating func findZeros(pageSize: Int) {
    guard !areZerosFound else { return }
    data = NonZeroExtents(of: buffer, pageSize: pageSize)
    areZerosFound = true
  }

  /// The bytes of all pages that were read, one run after the other in the order of `forEachRun`.
  public var bytes: RawSpan {
    @_lifetime(borrow self)
    get {
      let span = unsafe RawSpan(
        _unsafeBytes: UnsafeRawBufferPointer(rebasing: buffer.bytes[..<buffer.byteCount]))
      return unsafe _overrideLifetime(span, borrowing: self)
    }
  }

  /// The size of a page, in bytes.
  public var pageSize: Int { buffer.pageSize }

  /// How many bytes were read: whole pages.
  public var byteCount: Int { buffer.byteCount }

  /// Pages among those that were read that are all zeros.
  public var zeroPages: Int { data.zeroPages }

  /// Whether there is nothing in it: no page that was read, none that is the parent's.
  public var isEmpty: Bool { buffer.byteCount == 0 && buffer.listCount == 0 }

  /// Calls `body` for each run of pages that were read, in address order, with their bytes.
  ///
  /// - Throws: what `body` throws.
  public func forEachRun<Failure: Error>(
    _ body: (PageRun, RawSpan) throws(Failure) -> Void
  ) throws(Failure) {
    var position = 0
    for index in 0..<buffer.runCount {
      let run = unsafe PageRun(buffer.runTable[index])
      let end = position + Int(run.byteCount)
      try body(run, bytes.extracting(position..<end))
      position = end
    }
  }

  /// The runs of pages that an earlier round has, and that are not in this chunk, in address order. They lie between those
  /// that were read.
  public var parentRuns: [PageRun] {
    (0..<buffer.listCount).map { unsafe PageRun(buffer.listTable[$0]) }
  }

  /// Leaves pages to the parent: their bytes go, and what stays moves together.
  ///
  /// - Parameter isLeft: for each page that was read, in order.
  /// - Returns: how many pages were left.
  mutating func leaveToParent(_ isLeft: [Bool], pageSize: Int) -> Int {
    let left = buffer.drop(isLeft)
    if left > 0 { areZerosFound = false }
    findZeros(pageSize: pageSize)
    return left
  }
}
