public import CSluiceLinux

/// Reads the hashes of a process' pages, in one pass from low addresses to high ones and in memory of a fixed size. The
/// file may come from anywhere: nothing in it is believed before it was checked.
public struct PageHashReader: ~Copyable {
  /// The bytes that a reader holds.
  public static let bufferBytes = PageHashBlock.mostWords * 8

  /// What the hashes are of.
  public let head: PageHashHead
  private let file: InputFile
  private let path: String
  private var offset: UInt64 = 0
  private var words = [UInt64](repeating: 0, count: PageHashBlock.mostWords)
  private var number: UInt64 = 0
  /// The words of the block that are not looked at yet.
  private var rest = 0..<0
  private var run = Run(pages: 0..<0, firstHash: 0)
  private var isAtEnd = false

  /// A run of pages: their addresses, and where in the block the first one's hash stands.
  private struct Run {
    var pages: Range<UInt64>
    var firstHash: Int
  }

  /// - Parameter pagemap: the name of the process' pagemap.
  /// - Returns: nil when the directory has no hashes of that process.
  /// - Throws: `ImagesError` when the file cannot be read, or has none.
  static func open(
    pagemap: String, in directory: borrowing ImagesDirectory
  ) throws(ImagesError) -> PageHashReader? {
    let name = ImageFormat.hashesName(pagemap: pagemap)
    let path = "\(directory.path)/\(name)"
    guard let file = try InputFile(opening: name, in: directory, path: path) else { return nil }
    return try PageHashReader(file, path)
  }

  private init(_ file: consuming InputFile, _ path: String) throws(ImagesError) {
    let count = try Self.readBlock(number: 0, of: file, path, at: 0, into: &words)
    guard let head = PageHashHead(words: words[PageHashBlock.headWords..<PageHashBlock.headWords + count]),
      head.pageSize > 0
    else { throw Self.malformed(path, "it does not say which pages its hashes are of") }
    self.head = head
    self.file = file
    self.path = path
    offset = UInt64((PageHashBlock.headWords + count) * 8)
    number = 1
  }

  /// The hash of a page; nil where there is none.
  ///
  /// - Parameter address: of its first byte; higher than those that were asked for before.
  /// - Throws: `ImagesError` when the file cannot be read, or is broken: what was said before is right all the same.
  public mutating func hash(at address: UInt64) throws(ImagesError) -> PageHash? {
    while address >= run.pages.upperBound {
      guard try advance() else { return nil }
    }
    guard address >= run.pages.lowerBound else { return nil }
    let (index, remainder) = (address - run.pages.lowerBound).quotientAndRemainder(dividingBy: head.pageSize)
    guard remainder == 0 else { return nil }
    let place = run.firstHash + 2 * Int(index)
    return PageHash(low: UInt64(littleEndian: words[place]), high: UInt64(littleEndian: words[place + 1]))
  }

  /// Goes to the next run.
  ///
  /// - Returns: false at the end.
  private mutating func advance() throws(ImagesError) -> Bool {
    while rest.isEmpty {
      guard !isAtEnd else { return false }
      let count = try Self.readBlock(number: number, of: file, path, at: offset, into: &words)
      offset += UInt64((PageHashBlock.headWords + count) * 8)
      number += 1
      rest = PageHashBlock.headWords..<PageHashBlock.headWords + count
      isAtEnd = count == 0
    }
    guard rest.count >= 4 else { throw Self.malformed(path, "a run is cut off") }
    let address = UInt64(littleEndian: words[rest.lowerBound])
    let count = UInt64(littleEndian: words[rest.lowerBound + 1])
    guard count > 0, count <= UInt64(rest.count - 2) / 2 else {
      throw Self.malformed(path, "a run of \(count) pages has another number of hashes")
    }
    let (length, isTooLong) = count.multipliedReportingOverflow(by: head.pageSize)
    let (end, isTooHigh) = address.addingReportingOverflow(length)
    guard !isTooLong, !isTooHigh, address >= run.pages.upperBound else {
      throw Self.malformed(path, "the run at 0x\(String(address, radix: 16)) is in the wrong place")
    }
    run = Run(pages: address..<end, firstHash: rest.lowerBound + 2)
    rest = rest.lowerBound + 2 + 2 * Int(count)..<rest.upperBound
    return true
  }

  /// - Returns: how many words the block has.
  private static func readBlock(
    number: UInt64, of file: borrowing InputFile, _ path: String, at offset: UInt64,
    into words: inout [UInt64]
  ) throws(ImagesError) -> Int {
    let got = try file.read(at: offset, into: &words) / 8
    guard got >= PageHashBlock.headWords else { throw malformed(path, "it ends too early") }
    guard UInt64(littleEndian: words[0]) >> 32 != UInt64(ImageFormat.seedlessHashesMagic) else {
      throw ImagesError(
        .malformed,
        "\(path) was made by an earlier Sluice: its hashes have no seed, so they prove nothing")
    }
    guard UInt64(littleEndian: words[0]) == PageHashBlock.mark(number: number) else {
      throw malformed(path, "block \(number) has a wrong beginning")
    }
    guard let count = Int(exactly: UInt64(littleEndian: words[1])), count >= 0,
      count <= got - PageHashBlock.headWords
    else { throw malformed(path, "it ends within block \(number)") }
    let checksum = PageHashBlock.checksum(words, count: count, number: number)
    guard checksum.low == UInt64(littleEndian: words[2]), checksum.high == UInt64(littleEndian: words[3])
    else {
      throw malformed(path, "block \(number) is damaged")
    }
    return count
  }

  private static func malformed(_ path: String, _ reason: String) -> ImagesError {
    ImagesError(.malformed, "\(path) is broken: \(reason)")
  }
}
