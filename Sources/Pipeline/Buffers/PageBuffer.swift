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

  /// Of which part of the ring it is.
  public var part: Int { ring.partNumber(of: index) }

  /// Makes sure, once for as long as the buffer has memory, that this is of the node of its part: whoever fills the buffer
  /// does so first. What is in the buffer is lost.
  ///
  /// - Returns: whether it is; nil where the kernel chooses, or does not tell.
  public func settle() -> Bool? { ring.settle(index) }

  /// Room for the data; whole pages, at a page's boundary.
  public let bytes: UnsafeMutableRawBufferPointer
  /// Room for the runs.
  public let runTable: UnsafeMutableBufferPointer<MemoryRun>
  /// Room for the runs without data.
  public let listTable: UnsafeMutableBufferPointer<MemoryRun>
  /// Room for the hash of each page of the data, for one who wants them.
  public let hashTable: UnsafeMutableBufferPointer<PageHash>
  /// The runs at the start of `runTable` that are in use.
  public private(set) var runCount = 0
  /// The bytes that these runs have together.
  public private(set) var byteCount = 0
  /// The runs at the start of `listTable` that are in use.
  public private(set) var listCount = 0

  init(
    ring: BufferRing, index: Int, bytes: UnsafeMutableRawBufferPointer,
    runTable: UnsafeMutableBufferPointer<MemoryRun>, listTable: UnsafeMutableBufferPointer<MemoryRun>,
    hashTable: UnsafeMutableBufferPointer<PageHash>
  ) {
    self.ring = ring
    self.index = index
    unsafe self.bytes = bytes
    unsafe self.runTable = runTable
    unsafe self.listTable = listTable
    unsafe self.hashTable = hashTable
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
    precondition(
      byteCount <= self.byteCount && runCount <= byteCount / pageSize,
      "a buffer only shrinks to what was read")
    self.runCount = runCount
    self.byteCount = byteCount
  }

  /// Hashes the data, page by page, while it is in the cache.
  ///
  /// - Parameter seed: hashes of another seed cannot be compared with these.
  public func hashPages(seed: UInt64) {
    unsafe sluice_hash_pages(bytes.baseAddress, byteCount / pageSize, pageSize, seed, hashTable.baseAddress)
  }

  /// Drops the data of pages, and lists them instead: what stays moves together. The hashes are then of no use any more.
  ///
  /// Nothing may be listed yet.
  ///
  /// - Parameter isDropped: for each page of the data, in order.
  /// - Returns: how many pages were dropped.
  @discardableResult
  public mutating func drop(_ isDropped: [Bool]) -> Int {
    precondition(isDropped.count == byteCount / pageSize, "every page of the data is kept or dropped")
    precondition(listCount == 0, "pages are listed here alone")
    guard isDropped.contains(true) else { return 0 }
    let read = moveRunsToEnd()
    let oldByteCount = byteCount
    (runCount, byteCount) = (0, 0)
    var page = 0
    for entry in read {
      // More than one run may come of it, but never more than it has pages: so what is still to be looked at, which has
      // a page for each entry and stands at the end, is not written over.
      let run = unsafe runTable[entry]
      let end = page + Int(run.length) / pageSize
      var address = run.address
      while page < end {
        let first = page
        while page < end, isDropped[page] == isDropped[first] { page += 1 }
        let part = MemoryRun(address: address, length: UInt64((page - first) * pageSize))
        address += part.length
        if isDropped[first] {
          let isListed = list(part)
          precondition(isListed, "there is room to list each page")
        } else {
          keep(part, from: first * pageSize)
        }
      }
    }
    return (oldByteCount - byteCount) / pageSize
  }

  /// - Returns: where in the table the runs are then.
  private func moveRunsToEnd() -> Range<Int> {
    let place = unsafe runTable.count - runCount..<runTable.count
    for entry in (0..<runCount).reversed() { unsafe runTable[place.lowerBound + entry] = runTable[entry] }
    return place
  }

  /// Adds a run whose data is already here, at or behind the end of what there is.
  private mutating func keep(_ run: MemoryRun, from position: Int) {
    if position > byteCount {
      let (target, source) = unsafe (bytes.baseAddress! + byteCount, bytes.baseAddress! + position)
      unsafe target.copyMemory(from: source, byteCount: Int(run.length))
    }
    let added = append(run)
    precondition(added == run.length, "there is room for what was there before")
  }

  /// The size of a page in bytes: a buffer has room for one run a page.
  public var pageSize: Int { unsafe bytes.count / runTable.count }
}
