internal import CSluiceImages

/// The contents of sent.img: that the pages which the pagemaps of a directory name were sent to a page server, and are not in
/// the directory. What is there suffices to build further rounds upon, not to restore.
public struct SentMark: Hashable, Sendable {
  /// The server, as it was named.
  public let server: String

  /// Pages went to that server.
  public init(server: String) { self.server = server }

  /// The bytes of sent.img.
  func encoded() -> [UInt8] {
    var text = Array(server.utf8CString.prefix(Self.longestName)) + [0]
    return unsafe text.withUnsafeMutableBufferPointer { text in
      var entry = unsafe Sluice__SentEntry.blank
      unsafe entry.server = text.baseAddress
      return unsafe Records.file(magics: [ImageFormat.commonMagic, ImageFormat.sentMagic], message: entry)
    }
  }

  private static let longestName = 1024

  /// Reads sent.img.
  init(reading reader: inout RecordReader) throws(ImagesError) {
    reader.maker = "Sluice"
    try reader.expect(magics: [ImageFormat.commonMagic, ImageFormat.sentMagic])
    let mark = try unsafe reader.next(like: Sluice__SentEntry.blank) { entry in
      unsafe SentMark(server: String(cString: entry.server))
    }
    guard let mark else { throw reader.malformed("it has no record") }
    self = mark
  }
}

extension ImagesDirectory {
  /// Where the pages are; nil where they are in the directory.
  ///
  /// - Throws: `ImagesError` when that cannot be read.
  public func sentMark() throws(ImagesError) -> SentMark? {
    guard var reader = try RecordReader(opening: ImageFormat.sentName, in: self) else { return nil }
    return try SentMark(reading: &reader)
  }
}
