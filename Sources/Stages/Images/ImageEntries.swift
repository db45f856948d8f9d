internal import SluiceImages

/// The entries of a pagemap, read one after the other: runs of pages, from low addresses to high ones.
public final class ImageEntries {
  /// Where the contents of pages are.
  public enum Place: String, Sendable {
    /// In the pages file beside the pagemap.
    case present
    /// In the parent's images.
    case parent
    /// Nowhere: they were left to be restored lazily.
    case nowhere
  }

  /// A run of pages.
  public struct Entry: Hashable, Sendable {
    /// The address of the first page.
    public let address: UInt64
    /// How many pages.
    public let pageCount: UInt64
    /// Where their contents are.
    public let place: Place
  }

  private var pagemap: PagemapImageReader
  /// The size of a page in bytes.
  public let pageSize: UInt64

  /// - Parameters:
  ///   - path: the images directory.
  ///   - pid: in the task's own pid namespace, which the image is named by.
  /// - Throws: `SluiceError` with `notFound`, `malformedImages` or `io`.
  public convenience init(path: String, pid: Int32) throws(SluiceError) {
    do throws(ImagesError) {
      try self.init(in: ImagesDirectory(path: path), pid: pid)
    } catch {
      throw SluiceError(error)
    }
  }

  /// - Throws: `ImagesError`.
  init(in directory: borrowing ImagesDirectory, pid: Int32) throws(ImagesError) {
    guard let pagemap = try PagemapImageReader(pid: pid, in: directory) else {
      throw ImagesError(.noSuchDirectory, "\(directory.path) has no images of a task \(pid)")
    }
    pageSize = directory.pageSize
    self.pagemap = pagemap
  }

  /// The next entry; nil after the last.
  ///
  /// - Throws: `SluiceError` with `malformedImages` or `io`.
  public func next() throws(SluiceError) -> Entry? {
    let next: PagemapRun?
    do throws(ImagesError) { next = try pagemap.next() } catch { throw SluiceError(error) }
    guard let run = next else { return nil }
    let place: Place =
      run.flags.contains(.present) ? .present : run.flags.contains(.parent) ? .parent : .nowhere
    return Entry(address: run.address, pageCount: run.pageCount, place: place)
  }
}
