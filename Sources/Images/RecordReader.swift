internal import CSluiceLinux

/// Reads an image record by record, in memory of a fixed size. The file may come from anywhere: nothing in
/// it is believed before it was checked.
struct RecordReader: ~Copyable {
  static let bufferBytes = 2 * ImageFormat.longestRecord

  let path: String
  private let descriptor: Int32
  private var buffer = [UInt8](repeating: 0, count: RecordReader.bufferBytes)
  private var position = 0
  private var length = 0

  /// - Returns: nil when there is no such file.
  /// - Throws: `ImagesError` with `io` when it cannot be opened.
  init?(opening name: String, in directory: borrowing ImagesDirectory) throws(ImagesError) {
    path = "\(directory.path)/\(name)"
    let result = unsafe sluice_open_at(directory.descriptor, name, SLUICE_OPEN_READ)
    if result < 0 {
      let errno = SystemErrno(returned: result)
      if errno.name == "ENOENT" { return nil }
      throw ImagesError(.io, "opening \(path)", errno: errno)
    }
    descriptor = result
  }

  deinit {
    _ = sluice_close(descriptor)
  }

  func malformed(_ reason: String) -> ImagesError {
    ImagesError(.malformed, "\(path) is not what its name says: \(reason)")
  }

  mutating func expect(magics: [UInt32]) throws(ImagesError) {
    for magic in magics {
      guard let found = try number() else { throw malformed("it ends before its first record") }
      guard found == magic else {
        throw malformed("it begins with 0x\(String(found, radix: 16)), not 0x\(String(magic, radix: 16))")
      }
    }
  }

  /// The next message, of the kind of `blank`, as `body` makes it; nil at the end of the file.
  mutating func next<Message, Result>(
    like blank: Message, body: (Message) -> Result
  ) throws(ImagesError) -> Result? {
    guard let size = try number() else { return nil }
    guard size <= ImageFormat.longestRecord else { throw malformed("a record of \(size) bytes is too long") }
    guard try holds(Int(size)) else { throw malformed("it ends within a record") }
    let bytes = position..<position + Int(size)
    let result = unsafe buffer.withUnsafeBytes { all in
      unsafe Records.unpack(
        UnsafeRawBufferPointer(rebasing: all[bytes]), like: blank, body: body)
    }
    guard let result else { throw malformed("a record lacks what it must have") }
    position += Int(size)
    return result
  }

  private mutating func number() throws(ImagesError) -> UInt32? {
    guard try holds(MemoryLayout<UInt32>.size) else {
      guard position == length else { throw malformed("it ends within a number") }
      return nil
    }
    defer { position += MemoryLayout<UInt32>.size }
    return unsafe buffer.withUnsafeBytes {
      unsafe UInt32(littleEndian: $0.loadUnaligned(fromByteOffset: position, as: UInt32.self))
    }
  }

  /// Sees to it that `count` bytes are in the buffer. False when the file has fewer.
  private mutating func holds(_ count: Int) throws(ImagesError) -> Bool {
    guard length - position < count else { return true }
    buffer.replaceSubrange(0..<length - position, with: buffer[position..<length])
    length -= position
    position = 0
    while length < count {
      let (used, room) = (length, buffer.count - length)
      let got = unsafe buffer.withUnsafeMutableBytes {
        unsafe sluice_read(descriptor, $0.baseAddress! + used, room)
      }
      guard got >= 0 else { throw ImagesError(.io, "reading \(path)", errno: SystemErrno(returned: got)) }
      if got == 0 { return false }
      length += got
    }
    return true
  }
}
