public import CSluiceLinux

/// A buffer of the ring, and the right to use it: it cannot be copied, and goes back to the ring when
/// its holder lets go of it.
///
/// It holds data, and the table of the memory runs that the data is from, one after the other in the
/// order of the table. A second table lists runs that belong between those and have no data here.
@safe
public struct PageBuffer: ~Copyable, @unchecked Sendable {
  private let ring: BufferRing
  /// Which buffer of the ring it is.
  let index: Int

  /// Room for the data; whole pages, at a page's boundary.
  public let bytes: UnsafeMutableRawBufferPointer
  /// Room for the runs.
  public let runTable: UnsafeMutableBufferPointer<MemoryRun>
  /// Room for the runs without data.
  public let listTable: UnsafeMutableBufferPointer<MemoryRun>
  /// The runs at the start of `runTable` that are in use.
  public private(set) var runCount = 0
  /// The bytes that these runs have together.
  public private(set) var byteCount = 0
  /// The runs at the start of `listTable` that are in use.
  public private(set) var listCount = 0

  init(
    ring: BufferRing, index: Int, bytes: UnsafeMutableRawBufferPointer,
    runTable: UnsafeMutableBufferPointer<MemoryRun>, listTable: UnsafeMutableBufferPointer<MemoryRun>
  ) {
    self.ring = ring
    self.index = index
    unsafe self.bytes = bytes
    unsafe self.runTable = runTable
    unsafe self.listTable = listTable
  }

  deinit {
    ring.giveBack(index)
  }

  /// Adds as much of the run as there is room for, joining it to the last one where they touch.
  ///
  /// - Returns: the bytes that were added; fewer than the run has when the buffer is full.
  public mutating func append(_ run: MemoryRun) -> UInt64 {
    let added = unsafe min(run.length, UInt64(bytes.count - byteCount))
    guard added > 0 else { return 0 }
    if runCount > 0 {
      let last = unsafe runTable[runCount - 1]
      if last.address + last.length == run.address {
        // Stored whole: of a change to one field, the compiler (Swift 6.3) makes invalid code under
        // ThreadSanitizer.
        unsafe runTable[runCount - 1] = MemoryRun(address: last.address, length: last.length + added)
        byteCount += Int(added)
        return added
      }
    }
    guard unsafe runCount < runTable.count else { return 0 }
    unsafe runTable[runCount] = MemoryRun(address: run.address, length: added)
    runCount += 1
    byteCount += Int(added)
    return added
  }

  /// Lists a run that has no data here, joining it to the last one where they touch.
  ///
  /// - Returns: false when there is no room for it.
  public mutating func list(_ run: MemoryRun) -> Bool {
    if listCount > 0 {
      let last = unsafe listTable[listCount - 1]
      if last.address + last.length == run.address {
        unsafe listTable[listCount - 1] = MemoryRun(address: last.address, length: last.length + run.length)
        return true
      }
    }
    guard unsafe listCount < listTable.count else { return false }
    unsafe listTable[listCount] = run
    listCount += 1
    return true
  }

  /// Says what the table has now been cut down to, after less was read than was planned. There may be more runs than
  /// before, for a hole makes two of one; but each has a page at least.
  public mutating func keep(runCount: Int, byteCount: Int) {
    let pageSize = unsafe bytes.count / runTable.count
    precondition(
      byteCount <= self.byteCount && runCount <= byteCount / pageSize,
      "a buffer only shrinks to what was read")
    self.runCount = runCount
    self.byteCount = byteCount
  }
}
