internal import CSluiceImages

/// The contents of session.img: that a page server has received everything that its client sent. CRIU's page server leaves
/// nothing of the kind, and what it was sent looks the same whether or not the session came to its end.
public struct SessionMark: Hashable, Sendable {
  /// How many pagemaps there are: of processes, and of memory that processes share.
  public let pagemapCount: UInt64
  /// How many pages were received.
  public let pageCount: UInt64

  /// A session of so many pagemaps and pages.
  public init(pagemapCount: UInt64, pageCount: UInt64) {
    self.pagemapCount = pagemapCount
    self.pageCount = pageCount
  }

  /// The bytes of session.img.
  func encoded() -> [UInt8] {
    var entry = unsafe Sluice__SessionEntry.blank
    unsafe entry.pagemap_count = pagemapCount
    unsafe entry.page_count = pageCount
    return unsafe Records.file(magics: [ImageFormat.commonMagic, ImageFormat.sessionMagic], message: entry)
  }

  /// Reads session.img.
  init(reading reader: inout RecordReader) throws(ImagesError) {
    reader.maker = "Sluice"
    try reader.expect(magics: [ImageFormat.commonMagic, ImageFormat.sessionMagic])
    let mark = try unsafe reader.next(like: Sluice__SessionEntry.blank) { entry in
      unsafe SessionMark(pagemapCount: entry.pagemap_count, pageCount: entry.page_count)
    }
    guard let mark else { throw reader.malformed("it has no record") }
    self = mark
  }
}

extension ImagesDirectory {
  /// What a page server says of the pages that it has received; nil where none has made this directory.
  ///
  /// - Throws: `ImagesError` when that cannot be read.
  public func sessionMark() throws(ImagesError) -> SessionMark? {
    guard var reader = try RecordReader(opening: ImageFormat.sessionName, in: self) else { return nil }
    return try SessionMark(reading: &reader)
  }
}
