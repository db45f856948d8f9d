internal import SluiceImages

/// Reads the entries of a pagemap one after the other, where it is called.
final class EntryReader {
  private var pagemap: PagemapImageReader
  /// The size of a page in bytes.
  let pageSize: UInt64

  /// - Parameter pid: in the process' own pid namespace, which the image is named by.
  /// - Throws: `ImagesError`.
  init(in directory: borrowing ImagesDirectory, pid: Int32) throws(ImagesError) {
    guard let pagemap = try PagemapImageReader(pid: pid, in: directory) else {
      throw ImagesError(.noSuchDirectory, "\(directory.path) has no images of a process \(pid)")
    }
    pageSize = directory.pageSize
    self.pagemap = pagemap
  }

  /// The next entry; nil after the last.
  ///
  /// - Throws: `SluiceError` with `malformedImages` or `io`.
  func next() throws(SluiceError) -> ImageEntries.Entry? {
    let next: PagemapRun?
    do throws(ImagesError) { next = try pagemap.next() } catch { throw SluiceError(error) }
    guard let run = next else { return nil }
    let place: ImageEntries.Place =
      run.flags.contains(.present) ? .present : run.flags.contains(.parent) ? .parent : .nowhere
    return ImageEntries.Entry(address: run.address, pageCount: run.pageCount, place: place)
  }

  /// The next entries, so many at most; none after the last.
  ///
  /// - Throws: `SluiceError` with `malformedImages` or `io`.
  func next(atMost count: Int) throws(SluiceError) -> [ImageEntries.Entry] {
    var entries: [ImageEntries.Entry] = []
    while entries.count < count, let entry = try next() { entries.append(entry) }
    return entries
  }
}
