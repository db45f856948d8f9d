internal import CSluiceLinux

/// What the hashes of a process' pages are of, as it stands at the start of their file.
public struct PageHashHead: Hashable, Sendable {
  /// In bytes.
  public let pageSize: UInt64
  /// The process, in its own pid namespace.
  public let pid: Int32
  /// When it started, in clock ticks since the machine did.
  public let startTime: UInt64
  /// That of the inventory beside it, in microseconds since the machine started.
  public let dumpUptime: UInt64
  /// That of the hashes: one for a whole chain, which nobody else knows, so that nobody can prepare two pages of one hash.
  public let seed: UInt64
  /// Of /proc/sys/kernel/random/boot_id.
  public let bootID: String

  /// The head of the hashes that stand beside images of that moment.
  public init(
    pageSize: UInt64, pid: Int32, startTime: UInt64, dumpUptime: UInt64, seed: UInt64, bootID: String
  ) {
    self.pageSize = pageSize
    self.pid = pid
    self.startTime = startTime
    self.dumpUptime = dumpUptime
    self.seed = seed
    self.bootID = bootID
  }

  /// The longest text that is kept whole, in bytes; a boot id has 36.
  private static let longestText = 64
  /// The words before the text, of which the last is its length.
  private static let numbers = 6

  /// The words of its block.
  var words: [UInt64] {
    let text = Array(bootID.utf8.prefix(Self.longestText))
    var words = [pageSize, UInt64(UInt32(bitPattern: pid)), startTime, dumpUptime, seed, UInt64(text.count)]
    for start in stride(from: 0, to: text.count, by: 8) {
      words.append(text[start..<min(start + 8, text.count)].reversed().reduce(0) { $0 << 8 | UInt64($1) })
    }
    return words
  }

  /// - Returns: nil where these are not the words of a head.
  init?(words: ArraySlice<UInt64>) {
    let words = words.map { UInt64(littleEndian: $0) }
    guard words.count >= Self.numbers, let length = Int(exactly: words[Self.numbers - 1]),
      length <= Self.longestText, words.count == Self.numbers + (length + 7) / 8
    else { return nil }
    let text = (0..<length).map {
      UInt8(truncatingIfNeeded: words[Self.numbers + $0 / 8] >> UInt64($0 % 8 * 8))
    }
    self.init(
      pageSize: words[0], pid: Int32(bitPattern: UInt32(truncatingIfNeeded: words[1])), startTime: words[2],
      dumpUptime: words[3], seed: words[4], bootID: String(decoding: text, as: UTF8.self))
  }
}

/// How hashes-PID.img is made up, a file of Sluice's own: blocks of 64-bit words, little-endian.
///
/// A block has the magic and its number, the count of its words, a checksum in two words, and then its words. Block 0
/// is the head. The others have runs of pages: address, count, and a hash of two words for each. The last has nothing:
/// a file that ends before it was cut off.
enum PageHashBlock {
  /// The words before those of the block itself.
  static let headWords = 4
  /// A block as a whole; two windows of this size are all that the hashes take of memory.
  static let mostWords = 4096

  /// The first word of a block: so no block is taken for another one, of another place.
  static func mark(number: UInt64) -> UInt64 { UInt64(ImageFormat.hashesMagic) << 32 | number & 0xffff_ffff }

  /// What tells a block that is broken: the hash of its words.
  ///
  /// - Parameter words: the block, from its first word on.
  static func checksum(_ words: [UInt64], count: Int, number: UInt64) -> PageHash {
    unsafe words.withUnsafeBytes { bytes in
      let body = unsafe UnsafeRawBufferPointer(rebasing: bytes[headWords * 8..<(headWords + count) * 8])
      return unsafe sluice_hash_block(body.baseAddress, body.count, number)
    }
  }
}
