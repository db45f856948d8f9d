/// The table at the end of a file in zstd's "seekable format": how long each frame is, and its content.
///
/// By the format's published description: it is a frame that programs for zstd skip, of a magic number and its length; an
/// entry of two 32-bit numbers for each frame, and a third where there are checksums; the number of frames, a byte that tells
/// of checksums, and another magic number. All numbers are little-endian.
enum SeekTable {
  private static let frameMagic: UInt32 = 0x184d_2a5e
  private static let magic: UInt32 = 0x8f92_eab1
  /// More frames the format does not allow.
  private static let mostFrames: UInt32 = 0x800_0000
  private static let checksumFlag: UInt8 = 0x80
  /// Bits that a later version of the format may give a meaning.
  private static let reservedBits: UInt8 = 0x7c

  static let headBytes = 8
  static let footBytes = 9

  /// One frame.
  struct Entry: Hashable {
    /// Bytes in the file.
    var compressed: UInt32
    /// Bytes of its content.
    var expanded: UInt32
  }

  /// Collects the entries of a file that is being written, in bounded memory.
  struct Writer {
    private var bytes = [UInt8](repeating: 0, count: SeekTable.headBytes)
    private let mostBytes: Int
    private var count: UInt32 = 0
    /// Whether all frames so far are in it. Where they are not, the file gets no table: it can be expanded all the same.
    private(set) var isWhole = true

    /// - Parameter mostBytes: the memory for it.
    init(mostBytes: Int) {
      self.mostBytes = mostBytes
    }

    mutating func add(_ entry: Entry) {
      guard isWhole else { return }
      guard count < SeekTable.mostFrames, bytes.count + 8 + SeekTable.footBytes <= mostBytes else {
        isWhole = false
        bytes = []
        return
      }
      SeekTable.append(entry.compressed, to: &bytes)
      SeekTable.append(entry.expanded, to: &bytes)
      count += 1
    }

    /// The bytes of the table; nothing where it is not whole.
    consuming func finish() -> [UInt8] {
      guard isWhole else { return [] }
      var bytes = bytes
      SeekTable.append(count, to: &bytes)
      bytes.append(0)
      SeekTable.append(SeekTable.magic, to: &bytes)
      var head: [UInt8] = []
      SeekTable.append(SeekTable.frameMagic, to: &head)
      SeekTable.append(UInt32(bytes.count - SeekTable.headBytes), to: &head)
      bytes.replaceSubrange(..<SeekTable.headBytes, with: head)
      return bytes
    }
  }

  /// Where a file has its table.
  struct Place: Hashable {
    /// How many frames there are.
    let count: UInt64
    /// The bytes of an entry.
    let entryBytes: Int
    /// Where the table's frame begins, which is where the others end.
    let start: UInt64

    /// Where the entries begin.
    var entries: UInt64 { start + UInt64(SeekTable.headBytes) }

    /// By the last bytes of a file; nil where these are no table's.
    init?(foot: [UInt8], fileBytes: UInt64) {
      guard foot.count == SeekTable.footBytes, SeekTable.word(foot, at: 5) == SeekTable.magic else {
        return nil
      }
      let (count, flags) = (SeekTable.word(foot, at: 0), foot[4])
      guard count <= SeekTable.mostFrames, flags & SeekTable.reservedBits == 0 else { return nil }
      entryBytes = flags & SeekTable.checksumFlag == 0 ? 8 : 12
      self.count = UInt64(count)
      let bytes = UInt64(SeekTable.headBytes + SeekTable.footBytes) + self.count * UInt64(entryBytes)
      guard bytes <= fileBytes else { return nil }
      start = fileBytes - bytes
    }

    /// Whether this is the head of the table's frame.
    func hasHead(_ head: [UInt8]) -> Bool {
      head.count == SeekTable.headBytes && SeekTable.word(head, at: 0) == SeekTable.frameMagic
        && UInt64(SeekTable.word(head, at: 4)) == count * UInt64(entryBytes) + UInt64(SeekTable.footBytes)
    }
  }

  /// Goes through the entries, in memory of a fixed size.
  struct Reader {
    /// The memory that it has.
    static let bufferBytes = 12 << 10

    /// A frame, and where it is.
    struct Frame: Hashable {
      let entry: Entry
      /// In the compressed file.
      let start: UInt64
      /// In the expanded one.
      let content: UInt64
    }

    let place: Place
    private var buffer: [UInt8] = []
    private var position = 0
    private var read: UInt64 = 0
    private(set) var start: UInt64 = 0
    private(set) var content: UInt64 = 0

    init(_ place: Place) {
      self.place = place
    }

    /// The next frame; nil at the end.
    ///
    /// - Parameter fill: reads bytes of the file from an offset on, as many as are asked for.
    mutating func next<Failure>(
      _ fill: (UInt64, Int) throws(Failure) -> [UInt8]
    ) throws(Failure) -> Frame? {
      if position == buffer.count {
        let left = (place.count - read) * UInt64(place.entryBytes)
        guard left > 0 else { return nil }
        let most = Self.bufferBytes / 24 * 24
        buffer = try fill(place.entries + read * UInt64(place.entryBytes), Int(min(left, UInt64(most))))
        position = 0
      }
      let entry = Entry(
        compressed: SeekTable.word(buffer, at: position), expanded: SeekTable.word(buffer, at: position + 4))
      position += place.entryBytes
      read += 1
      // Neither can run over: there are no more than 2^27 frames of less than 2^32 bytes.
      defer {
        start += UInt64(entry.compressed)
        content += UInt64(entry.expanded)
      }
      return Frame(entry: entry, start: start, content: content)
    }
  }

  private static func append(_ word: UInt32, to bytes: inout [UInt8]) {
    for shift in stride(from: 0, to: 32, by: 8) { bytes.append(UInt8(truncatingIfNeeded: word >> shift)) }
  }

  private static func word(_ bytes: [UInt8], at position: Int) -> UInt32 {
    (0..<4).reduce(0) { $0 | UInt32(bytes[position + $1]) << (8 * $1) }
  }
}
