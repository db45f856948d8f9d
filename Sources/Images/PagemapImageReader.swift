internal import CSluiceImages

/// Reads a pagemap image, entry by entry.
public struct PagemapImageReader: ~Copyable {
  /// The bytes that a reader holds.
  public static let bufferBytes = RecordReader.bufferBytes

  private var reader: RecordReader
  /// The number in the name of the pages file.
  public let pagesID: UInt32

  /// - Returns: nil when the directory has no pagemap of that pid.
  /// - Throws: `ImagesError` when the file cannot be read or is no pagemap.
  public init?(pid: Int32, in directory: borrowing ImagesDirectory) throws(ImagesError) {
    try self.init(name: ImageFormat.pagemapName(pid: pid), in: directory)
  }

  init?(name: String, in directory: borrowing ImagesDirectory) throws(ImagesError) {
    guard var reader = try RecordReader(opening: name, in: directory) else { return nil }
    try reader.expect(magics: [ImageFormat.commonMagic, ImageFormat.pagemapMagic])
    let head = try unsafe reader.next(
      like: Sluice__PagemapHead.blank
    ) { unsafe $0.pages_id }
    guard let head else { throw reader.malformed("it has no first record") }
    pagesID = head
    self.reader = reader
  }

  /// The next entry, or nil after the last.
  ///
  /// - Throws: `ImagesError` when the file cannot be read or an entry is broken.
  public mutating func next() throws(ImagesError) -> PagemapRun? {
    try unsafe reader.next(like: Sluice__PagemapEntry.blank) {
      unsafe PagemapRun($0)
    }
  }

  /// The error for a pagemap whose entries contradict each other.
  func malformed(_ reason: String) -> ImagesError { reader.malformed(reason) }
}

extension PagemapRun {
  fileprivate init(_ entry: Sluice__PagemapEntry) {
    unsafe address = entry.vaddr
    // CRIU 4.2 counts in the newer field alone, earlier versions in the older one.
    unsafe pageCount = entry.has_nr_pages != 0 ? entry.nr_pages : UInt64(entry.compat_nr_pages)
    if unsafe entry.has_flags != 0 {
      unsafe flags = PagemapFlags(rawValue: entry.flags)
    } else {
      // Before there were flags, there was this one bit.
      unsafe flags = entry.has_in_parent != 0 && entry.in_parent != 0 ? .parent : .present
    }
  }
}
