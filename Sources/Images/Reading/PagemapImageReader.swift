internal import CSluiceImages

/// Reads a pagemap image, entry by entry.
public struct PagemapImageReader: ~Copyable {
  /// The bytes that a reader holds.
  public static let bufferBytes = RecordReader.bufferBytes

  /// No address of a process is so high: that half of the address space is the kernel's. So what is below can be
  /// reckoned with in signed numbers, and a little above it, too.
  private static let highestEnd: UInt64 = 1 << 63

  private var reader: RecordReader
  /// The number in the name of the pages file.
  public let pagesID: UInt32
  private let pageSize: UInt64
  /// Where the last entry ends.
  private var lowest: UInt64 = 0

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
    pageSize = directory.pageSize
    self.reader = reader
  }

  /// The next entry, or nil after the last. Entries have a page at least, do not overlap, and go upwards.
  ///
  /// - Throws: `ImagesError` when the file cannot be read or an entry is broken.
  public mutating func next() throws(ImagesError) -> PagemapRun? {
    while let run = try unsafe reader.next(like: Sluice__PagemapEntry.blank, body: { unsafe PagemapRun($0) })
    {
      // Not put together for each entry: there are many, and hardly ever is one broken.
      var at: String { "the entry at 0x\(String(run.address, radix: 16))" }
      guard run.flags.isSubset(of: .known) else {
        let unknown = run.flags.subtracting(.known).rawValue
        throw reader.newer("\(at) has the unknown flag 0x\(String(unknown, radix: 16))")
      }
      guard run.pageCount > 0 else { continue }
      guard run.address % pageSize == 0 else {
        throw reader.malformed("\(at) does not start at the beginning of a page")
      }
      guard run.address < Self.highestEnd, run.pageCount <= (Self.highestEnd - run.address) / pageSize else {
        throw reader.malformed("\(at) is outside the address space")
      }
      guard run.address >= lowest else {
        throw reader.malformed("\(at) overlaps another, or is not in order")
      }
      lowest = run.address + run.pageCount * pageSize
      return run
    }
    return nil
  }
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
