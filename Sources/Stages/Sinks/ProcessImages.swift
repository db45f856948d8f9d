internal import CSluiceLinux
internal import SluiceImages
internal import SluicePipeline

/// The two files that the memory of one process is written to, and how far they have come.
struct ProcessImages: ~Copyable {
  let pages: OutputFile
  private(set) var pagemap: PagemapImageWriter
  /// The length of the pages file so far, in bytes.
  private(set) var bytesWritten: UInt64 = 0
  private var writeback: WritebackWindow?
  private var spaceAhead: Preallocator?
  private let pageSize: UInt64

  /// Creates the files.
  ///
  /// - Parameter expecting: how long the pages file will be, as far as can be told, in bytes.
  /// - Throws: `ImagesError` when they cannot be created.
  static func create(
    in images: inout UnfinishedImages, named names: ImageNames, pageSize: UInt64, direct: Bool,
    expecting expected: UInt64
  ) throws(ImagesError) -> ProcessImages {
    let pages = try images.createPagesFile(id: names.pagesID, direct: direct)
    let file = try images.createPagemap(name: names.pagemap)
    let pagemap = try PagemapImageWriter(file: file, pagesID: names.pagesID, pageSize: pageSize)
    return ProcessImages(pages: pages, pagemap: pagemap, pageSize: pageSize, expecting: expected)
  }

  private init(
    pages: OutputFile, pagemap: consuming PagemapImageWriter, pageSize: UInt64, expecting expected: UInt64
  ) {
    self.pages = pages
    self.pagemap = pagemap
    self.pageSize = pageSize
    let isInMemory = pages.isInMemory
    // A file in memory is its page cache: there is nothing to drop.
    writeback = pages.isDirect || isInMemory ? nil : WritebackWindow()
    // In memory the space would only be written twice; the page cache allocates by itself, late and well.
    spaceAhead = pages.isDirect && !isInMemory ? Preallocator(expecting: expected) : nil
  }

  /// Takes the place for so many bytes in the pages file.
  ///
  /// - Returns: where they begin.
  mutating func reserve(_ byteCount: Int) -> UInt64 {
    defer { bytesWritten += UInt64(byteCount) }
    return bytesWritten
  }

  /// Lists what a buffer has read, and what belongs between that and is the parent's, in address order.
  ///
  /// - Parameter isLazy: whether what was read may be restored on demand.
  /// - Throws: `ImagesError` when the file cannot be written.
  mutating func addToPagemap(
    _ buffer: borrowing PageBuffer, isLazy: Bool = false
  ) throws(ImagesError) {
    let flags: PagemapFlags = isLazy ? [.present, .lazy] : .present
    var (read, listed) = (0, 0)
    while read < buffer.runCount || listed < buffer.listCount {
      let isListed =
        unsafe read == buffer.runCount
        || listed < buffer.listCount && buffer.listTable[listed].address < buffer.runTable[read].address
      let run = unsafe isListed ? buffer.listTable[listed] : buffer.runTable[read]
      if isListed { listed += 1 } else { read += 1 }
      try pagemap.append(
        PagemapRun(
          address: run.address, pageCount: run.length / pageSize, flags: isListed ? .parent : flags))
    }
  }

  /// What is to be done before a buffer is written.
  enum Preparation {
    case none
    /// Wait for all writes, then give back what was allocated behind `size`: space that was allocated and not
    /// written is no hole.
    case giveBack(size: UInt64)
  }

  /// Allocates space for what comes next, until the first hole.
  mutating func prepareSpace(for data: NonZeroExtents, byteCount: Int, at offset: UInt64) -> Preparation {
    guard let ahead = spaceAhead else { return .none }
    guard data.byteCount == byteCount else {
      spaceAhead = nil
      return ahead.end > offset ? .giveBack(size: offset) : .none
    }
    guard let range = ahead.range(toReach: offset + UInt64(byteCount)) else { return .none }
    if pages.allocate(range) {
      spaceAhead?.allocated(range)
    } else {
      spaceAhead?.giveUp()
    }
    return .none
  }

  /// Sees to it that what was written through the page cache does not stay there.
  ///
  /// - Parameter offset: everything below is written; nil when all of the file so far is.
  /// - Throws: `ImagesError` when writing back fails.
  mutating func limitPageCache(writtenUpTo offset: UInt64?) throws(ImagesError) {
    guard let action = writeback?.advance(to: offset ?? bytesWritten) else { return }
    if let range = action.start { try pages.startWriteback(range) }
    if let range = action.finish { try pages.finishWriteback(range) }
  }

  /// Ends the files, of which nothing is in flight any more.
  ///
  /// - Parameter staysCached: whether what is in the page cache stays there.
  /// - Throws: `ImagesError` when writing fails.
  mutating func finish(staysCached: Bool) throws(ImagesError) {
    // The last pages may be a hole, which no write has made part of the file.
    try pages.setSize(bytesWritten)
    try pagemap.finish()
    if let writeback, !staysCached { try pages.finishWriteback(writeback.rest(to: bytesWritten)) }
  }
}
