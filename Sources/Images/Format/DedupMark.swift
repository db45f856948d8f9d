internal import CSluiceImages
internal import CSluiceLinux

/// The contents of deduplicated.img: that `dedup` has given back pages of a directory that a newer one has anew. By
/// themselves, or as parents of others, its images are no longer right: their pages files have zeros there.
public struct DedupMark: Hashable, Sendable {
  /// What tells the newer directory from others, wherever it is now: `PagemapsDigest`.
  let childLow: UInt64
  let childHigh: UInt64
  /// Where it was then, as a link in the directory would say it.
  public let child: String

  /// Pages were given back because of that directory.
  init(digest: PageHash, child: String) {
    (childLow, childHigh) = (digest.low, digest.high)
    self.child = child
  }

  /// Whether a directory is the newer one.
  func isOf(_ digest: PageHash) -> Bool { digest.low == childLow && digest.high == childHigh }

  /// The bytes of deduplicated.img.
  func encoded() -> [UInt8] {
    var text = Array(child.utf8CString)
    return unsafe text.withUnsafeMutableBufferPointer { text in
      var entry = unsafe Sluice__DeduplicatedEntry.blank
      unsafe entry.child_low = childLow
      unsafe entry.child_high = childHigh
      unsafe entry.child = text.baseAddress
      return unsafe Records.file(
        magics: [ImageFormat.commonMagic, ImageFormat.deduplicatedMagic], message: entry)
    }
  }

  /// Reads deduplicated.img.
  init(reading reader: inout RecordReader) throws(ImagesError) {
    reader.maker = "Sluice"
    try reader.expect(magics: [ImageFormat.commonMagic, ImageFormat.deduplicatedMagic])
    let mark = try unsafe reader.next(like: Sluice__DeduplicatedEntry.blank) { entry in
      unsafe DedupMark(
        digest: PageHash(low: entry.child_low, high: entry.child_high), child: String(cString: entry.child))
    }
    guard let mark else { throw reader.malformed("it has no record") }
    self = mark
  }
}

extension ImagesDirectory {
  /// Why the images are not right by themselves; nil where nothing was taken from them.
  ///
  /// - Throws: `ImagesError` when that cannot be read.
  public func dedupMark() throws(ImagesError) -> DedupMark? {
    guard var reader = try RecordReader(opening: ImageFormat.deduplicatedName, in: self) else { return nil }
    return try DedupMark(reading: &reader)
  }

  /// Says for good that pages are given back, before the first one is.
  ///
  /// - Throws: `ImagesError`; the mark is then as it was before.
  func setDedupMark(_ mark: DedupMark) throws(ImagesError) {
    let (name, path) = (ImageFormat.deduplicatedName, "\(path)/\(ImageFormat.deduplicatedName)")
    let partial = name + UnfinishedImages.suffix
    // Of a run that was interrupted.
    _ = unsafe sluice_unlink_at(descriptor, partial, false)
    let file = try OutputFile(creating: partial, in: handle)
    try file.write(mark.encoded(), at: 0)
    try file.sync()
    let renamed = unsafe sluice_rename_at(descriptor, partial, name)
    let result = renamed == 0 ? sluice_fsync(descriptor) : renamed
    guard result == 0 else { throw OutputFile.writeFailed(path, result: Int(result)) }
  }
}

/// What the pagemaps of a directory come to. Two directories in which it is the same have, and lack, the same pages, so
/// that either may stand in the other's place in a chain.
enum PagemapsDigest {
  /// The bytes that are looked at in one.
  private static let blockBytes = 64 << 10

  /// - Parameter names: those of the pagemaps, in an order that is always the same.
  static func of(
    _ names: [String], in directory: borrowing ImagesDirectory
  ) throws(ImagesError) -> PageHash {
    var digest = PageHash(low: 0, high: 0)
    var (bytes, number) = ([UInt8](repeating: 0, count: blockBytes), UInt64(0))
    // Each block is hashed with what those before it come to.
    func add(_ block: [UInt8]) {
      var head = [digest.low, digest.high].flatMap { word in
        (0..<8).map { UInt8(truncatingIfNeeded: word >> ($0 * 8)) }
      }
      head += block
      digest = unsafe head.withUnsafeBytes {
        unsafe sluice_hash_block($0.baseAddress, $0.count, number)
      }
      number += 1
    }
    for name in names {
      add(Array(name.utf8))
      guard let file = try InputFile(opening: name, in: directory, path: "\(directory.path)/\(name)") else {
        continue
      }
      var offset: UInt64 = 0
      while true {
        let count = try file.read(at: offset, into: &bytes)
        guard count > 0 else { break }
        add(Array(bytes[..<count]))
        offset += UInt64(count)
      }
    }
    return digest
  }
}
