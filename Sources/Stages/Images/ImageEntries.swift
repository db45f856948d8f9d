internal import SluiceImages
internal import SluicePipeline

/// The entries of a pagemap, to be iterated over once: runs of pages, from low addresses to high ones.
///
/// They are read on a thread apart from the caller's, in memory of a fixed size.
public struct ImageEntries: AsyncSequence, Sendable {
  /// What reading them throws.
  public typealias Failure = SluiceError

  /// Where the contents of pages are.
  public enum Place: String, Sendable, Codable {
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

  private let reader: Locked<EntryReader>
  /// The size of a page in bytes.
  public let pageSize: UInt64

  /// - Parameters:
  ///   - path: the images directory.
  ///   - pid: in the process' own pid namespace, which the image is named by.
  /// - Throws: `SluiceError` with `notFound`, `malformedImages`, `io` or `cancelled`.
  public init(path: String, pid: Int32) async throws(SluiceError) {
    (reader, pageSize) = try await BlockingWork.run(Self.work) { () throws(SluiceError) in
      try onImages { () throws(ImagesError) in
        let reader = try EntryReader(in: ImagesDirectory(path: path), pid: pid)
        return (Locked(reader), reader.pageSize)
      }
    }
  }

  /// As a cancellation names it.
  private static let work = "reading the images"

  /// Iterates over the entries that nobody has iterated over yet.
  public func makeAsyncIterator() -> AsyncIterator { AsyncIterator(reader: reader) }

  /// Gives one entry after the other.
  public struct AsyncIterator: AsyncIteratorProtocol {
    /// Few hand-offs between threads, and little memory.
    private static let batch = 1024

    private let reader: Locked<EntryReader>
    private var entries: ArraySlice<Entry> = []

    fileprivate init(reader: Locked<EntryReader>) {
      self.reader = reader
    }

    /// The next entry; nil after the last.
    ///
    /// - Throws: `SluiceError` with `malformedImages`, `io` or `cancelled`.
    public mutating func next() async throws(SluiceError) -> Entry? {
      if entries.isEmpty {
        entries = try await BlockingWork.run(work) { [reader] () throws(SluiceError) in
          try reader.withLock { (reader) throws(SluiceError) in try reader.next(atMost: Self.batch) }
        }[...]
      }
      return entries.popFirst()
    }
  }
}
