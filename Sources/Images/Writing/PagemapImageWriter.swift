internal import CSluiceImages

/// Writes a pagemap image as the runs come, in memory of a fixed size.
///
/// Runs come in address order. Those that touch and have equal flags become one entry.
public struct PagemapImageWriter: ~Copyable {
  /// The bytes of records that are held before they are written.
  public static let bufferBytes = 64 << 10

  /// The image.
  public let file: OutputFile
  private let pageSize: UInt64
  private var buffer: [UInt8]
  private var used = 0
  private var offset: UInt64 = 0
  private var pending: PagemapRun?
  /// The entries written, without the one that may still grow.
  public private(set) var entryCount: UInt64 = 0

  /// - Parameters:
  ///   - file: an empty file.
  ///   - pagesID: the number in the name of the pages file.
  ///   - pageSize: in bytes.
  public init(file: OutputFile, pagesID: UInt32, pageSize: UInt64) throws(ImagesError) {
    self.file = file
    self.pageSize = pageSize
    buffer = [UInt8](repeating: 0, count: Self.bufferBytes)
    unsafe buffer.withUnsafeMutableBytes { bytes in
      unsafe bytes.storeBytes(of: ImageFormat.commonMagic.littleEndian, as: UInt32.self)
      unsafe bytes.storeBytes(of: ImageFormat.pagemapMagic.littleEndian, toByteOffset: 4, as: UInt32.self)
    }
    used = 8
    var head = unsafe Sluice__PagemapHead.blank
    unsafe head.pages_id = pagesID
    unsafe try append(record: head)
  }

  /// Adds a run behind all earlier ones.
  ///
  /// - Throws: `ImagesError` with `io` when the file cannot be written.
  public mutating func append(_ run: PagemapRun) throws(ImagesError) {
    guard run.pageCount > 0 else { return }
    if let last = pending {
      let end = last.address + last.pageCount * pageSize
      precondition(run.address >= end, "the entries of a pagemap are in address order")
      if run.address == end && run.flags == last.flags {
        pending?.pageCount += run.pageCount
        return
      }
      try write(last)
    }
    pending = run
  }

  /// Writes what is still held. Nothing may be added after.
  ///
  /// - Throws: `ImagesError` with `io` when the file cannot be written.
  public mutating func finish() throws(ImagesError) {
    if let last = pending { try write(last) }
    pending = nil
    try flush()
  }

  /// Writes an entry; as several where the older count field (32 bits) is too small for it.
  private mutating func write(_ run: PagemapRun) throws(ImagesError) {
    var rest = run
    while rest.pageCount > 0 {
      let count = min(rest.pageCount, UInt64(UInt32.max))
      var entry = unsafe Sluice__PagemapEntry.blank
      unsafe entry.vaddr = rest.address
      unsafe entry.compat_nr_pages = UInt32(count)
      unsafe entry.has_flags = 1
      unsafe entry.flags = rest.flags.rawValue
      unsafe entry.has_nr_pages = 1
      unsafe entry.nr_pages = count
      unsafe try append(record: entry)
      entryCount += 1
      rest.address += count * pageSize
      rest.pageCount -= count
    }
  }

  private mutating func append<Message>(record: Message) throws(ImagesError) {
    if pack(record) { return }
    try flush()
    guard pack(record) else { preconditionFailure("a pagemap's record has a few dozen bytes") }
  }

  private mutating func pack<Message>(_ record: Message) -> Bool {
    let size = unsafe buffer.withUnsafeMutableBytes { bytes in
      unsafe Records.pack(record, into: UnsafeMutableRawBufferPointer(rebasing: bytes[used...]))
    }
    guard let size else { return false }
    used += size
    return true
  }

  private mutating func flush() throws(ImagesError) {
    let count = used
    var failure: ImagesError?
    unsafe buffer.withUnsafeBytes { bytes in
      do throws(ImagesError) {
        unsafe try file.write(UnsafeRawBufferPointer(rebasing: bytes[..<count]), at: offset)
      } catch {
        failure = error
      }
    }
    if let failure { throw failure }
    offset += UInt64(count)
    used = 0
  }
}
