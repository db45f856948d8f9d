internal import CSluiceLinux
internal import SluiceSystem
internal import SluiceWire

/// Reads an image record by record, in memory of a fixed size. The file may come from anywhere: nothing in
/// it is believed before it was checked.
struct RecordReader: ~Copyable {
  /// The bytes that a reader holds, if no record is longer: those that are have no place in a pagemap, and grow it to
  /// no more than the longest.
  static let bufferBytes = 16 << 10

  let path: String
  /// Whose files of this kind are, and who may one day write into them what is not known here.
  var maker = "CRIU"
  private let file: OpenFile
  private var buffer = [UInt8](repeating: 0, count: RecordReader.bufferBytes)
  private var position = 0
  private var length = 0

  /// - Returns: nil when there is no such file.
  /// - Throws: `ImagesError` with `io` when it cannot be opened, or `malformed` for what is no regular file.
  init?(opening name: String, in directory: borrowing ImagesDirectory) throws(ImagesError) {
    path = "\(directory.path)/\(name)"
    guard let file = try directory.openFile(name) else { return nil }
    self.file = file
  }

  func malformed(_ reason: String) -> ImagesError {
    ImagesError(.malformed, "\(path) is damaged: \(reason)")
  }

  /// Nothing is believed of a file that says something which is not understood: it may be about the rest of it.
  func newer(_ reason: String) -> ImagesError {
    ImagesError(.malformed, "\(path) was made by a newer \(maker): \(reason); a newer Sluice may know it")
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
  ///
  /// - Parameters:
  ///   - harmless: numbers of fields that messages of this kind may have beside those that `blank` has.
  ///   - longest: a record that has more bytes is an error.
  ///   - mostFields: one that has more fields is an error, too: unpacked, each takes some dozen bytes, however short it is.
  /// - Throws: `ImagesError`; also for a field that is not known at all, as a later version may have.
  mutating func next<Message, Result>(
    like blank: Message, besides harmless: [ClosedRange<UInt32>] = [],
    longest: Int = ImageFormat.longestRecord, mostFields: Int = .max, body: (Message) -> Result
  ) throws(ImagesError) -> Result? {
    guard let size = try number() else { return nil }
    guard size <= longest else { throw malformed("a record of \(size) bytes is too long") }
    guard try holds(Int(size)) else { throw malformed("it ends within a record") }
    let bytes = position..<position + Int(size)
    if mostFields < .max, !Records.hasFields(atMost: mostFields, buffer[bytes]) {
      throw malformed("a record has more than \(mostFields) fields, or is broken")
    }
    let result = unsafe buffer.withUnsafeBytes { all in
      unsafe ProtobufMessage.unpack(
        UnsafeRawBufferPointer(rebasing: all[bytes]), like: blank
      ) { message in
        (body(message), unknown: Records.unknownField(of: message, besides: harmless))
      }
    }
    guard let (result, unknown) = result else { throw malformed("a record lacks a required field") }
    if let unknown { throw newer("a record has the unknown field \(unknown)") }
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
    if buffer.count < count { buffer += [UInt8](repeating: 0, count: count - buffer.count) }
    while length < count {
      let (used, room) = (length, buffer.count - length)
      let got = unsafe buffer.withUnsafeMutableBytes {
        unsafe sluice_read(file.descriptor.number, $0.baseAddress! + used, room)
      }
      guard got >= 0 else { throw ImagesError(.io, "reading \(path)", errno: SystemErrno(returned: got)) }
      if got == 0 { return false }
      length += got
    }
    return true
  }
}
