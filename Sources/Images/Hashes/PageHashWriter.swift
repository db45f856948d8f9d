public import CSluiceLinux

/// Writes the hashes of a process' pages as they come, in memory of a fixed size.
public struct PageHashWriter: ~Copyable {
  /// The bytes that a writer holds.
  public static let bufferBytes = PageHashBlock.mostWords * 8

  /// The image.
  public let file: OutputFile
  /// The length of the file so far, in bytes.
  public private(set) var bytesWritten: UInt64 = 0
  private let pageSize: UInt64
  private var words = [UInt64](repeating: 0, count: PageHashBlock.mostWords)
  private var used = PageHashBlock.headWords
  private var number: UInt64 = 0
  /// Where in the block the count of the run stands that may still grow, and the address at which it would.
  private var open: (count: Int, end: UInt64)?

  /// - Parameters:
  ///   - file: an empty file.
  ///   - head: what the hashes are of.
  /// - Throws: `ImagesError` with `io` when the file cannot be written.
  public init(file: OutputFile, head: PageHashHead) throws(ImagesError) {
    self.file = file
    pageSize = head.pageSize
    for word in head.words { add(word) }
    try flush()
  }

  /// Adds a page behind all earlier ones.
  ///
  /// - Parameter address: of its first byte.
  /// - Throws: `ImagesError` with `io` when the file cannot be written.
  public mutating func append(_ hash: PageHash, at address: UInt64) throws(ImagesError) {
    if let run = open, run.end == address, used + 2 <= words.count {
      words[run.count] += 1
    } else {
      // The start of a run, and one page at least.
      if used + 4 > words.count { try flush() }
      add(address)
      open = (used, address)
      add(1)
    }
    open?.end = address + pageSize
    add(hash.low)
    add(hash.high)
  }

  /// Writes what is still held, and the end. Nothing may be added after.
  ///
  /// - Throws: `ImagesError` with `io` when the file cannot be written.
  public mutating func finish() throws(ImagesError) {
    if used > PageHashBlock.headWords { try flush() }
    try flush()
  }

  private mutating func add(_ word: UInt64) {
    words[used] = word.littleEndian
    used += 1
  }

  private mutating func flush() throws(ImagesError) {
    let count = used - PageHashBlock.headWords
    let checksum = PageHashBlock.checksum(words, count: count, number: number)
    used = 0
    for word in [PageHashBlock.mark(number: number), UInt64(count), checksum.low, checksum.high] { add(word) }
    var failure: ImagesError?
    unsafe words.withUnsafeBytes { bytes in
      let block = unsafe UnsafeRawBufferPointer(rebasing: bytes[..<((used + count) * 8)])
      do throws(ImagesError) { unsafe try file.write(block, at: bytesWritten) } catch { failure = error }
    }
    if let failure { throw failure }
    bytesWritten += UInt64((used + count) * 8)
    number += 1
    open = nil
  }
}
