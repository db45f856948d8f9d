import CSluiceLinux
import SluiceTestSupport
import Testing

@testable import SluiceImages

@Suite struct PageHashTests {
  private static let head = PageHashHead(
    pageSize: 4096, pid: 17, startTime: 1 << 40, dumpUptime: 300, seed: 7 << 50,
    bootID: "0b4c1a5e-7d3f-4a52-9d0e-6a6f1b1f0c11")

  /// Writes hashes, and leaves them unpublished under their final name.
  private static func write(_ hashes: [(address: UInt64, hash: PageHash)], in path: String) throws {
    var images = try UnfinishedImages.create(at: path)
    _ = try images.createPages()
    _ = try images.createPagemap(pid: head.pid)
    var writer = try PageHashWriter(file: try images.createHashes(pagemap: "pagemap-17.img"), head: head)
    for page in hashes { try writer.append(page.hash, at: page.address) }
    try writer.finish()
    try images.publish()
  }

  private static func open(_ path: String) throws -> PageHashReader? {
    try PageHashReader.open(pagemap: "pagemap-17.img", in: try ImagesDirectory(path: path))
  }

  /// A hash that no other page has.
  private static func hash(_ number: UInt64) -> PageHash { PageHash(low: number, high: ~number) }

  /// Pages in runs of every length, several blocks of them.
  private static func pages(seed: UInt64, count: Int) -> [(address: UInt64, hash: PageHash)] {
    var random = SplitMix(seed: seed)
    var (address, pages) = (UInt64(0x10000), [(address: UInt64, hash: PageHash)]())
    while pages.count < count {
      for _ in 0..<Int.random(in: 1...(Bool.random(using: &random) ? 3 : 5000), using: &random) {
        pages.append((address, hash(UInt64(pages.count))))
        address += 4096
      }
      address += 4096 * UInt64.random(in: 1...9, using: &random)
    }
    return pages
  }

  @Test(arguments: [(UInt64(1), 1), (2, 40), (3, 20_000), (4, 50_000)])
  func `reads what was written, and no more`(seed: UInt64, count: Int) throws {
    let directory = try TemporaryDirectory()
    let pages = Self.pages(seed: seed, count: count)
    try Self.write(pages, in: directory.path)
    guard var reader = try Self.open(directory.path) else {
      Issue.record("there are no hashes")
      return
    }
    #expect(reader.head == Self.head)
    #expect(try reader.hash(at: 0x1000) == nil)
    var last: UInt64 = 0x1000
    for page in pages {
      if page.address != last { #expect(try reader.hash(at: last) == nil) }
      let found = try reader.hash(at: page.address)
      #expect(found?.low == page.hash.low && found?.high == page.hash.high)
      last = page.address + 4096
    }
    #expect(try reader.hash(at: last) == nil)
    #expect(try reader.hash(at: 1 << 46) == nil)
  }

  @Test func `may be asked for some of the pages alone`() throws {
    let directory = try TemporaryDirectory()
    let pages = Self.pages(seed: 5, count: 30_000)
    try Self.write(pages, in: directory.path)
    guard var reader = try Self.open(directory.path) else { throw Missing() }
    for index in stride(from: 0, to: pages.count, by: 997) {
      #expect(try reader.hash(at: pages[index].address)?.low == pages[index].hash.low)
    }
  }

  @Test func `a task without pages has an empty list`() throws {
    let directory = try TemporaryDirectory()
    try Self.write([], in: directory.path)
    guard var reader = try Self.open(directory.path) else { throw Missing() }
    #expect(try reader.hash(at: 0) == nil)
    let nothing = try PageHashReader.open(
      pagemap: "pagemap-18.img", in: try ImagesDirectory(path: directory.path))
    switch nothing {
    case .some: Issue.record("another task's hashes were taken")
    case .none: break
    }
  }

  /// Whatever one bit is flipped: a hash that is given is the one that was written.
  @Test func `a flipped bit is found before a wrong hash is given`() throws {
    let directory = try TemporaryDirectory()
    // Five runs of eight pages.
    let pages = (UInt64(0)..<40).map { number in
      let address: UInt64 = 0x10000 + number / 8 * 0x10000 + number % 8 * 0x1000
      return (address: address, hash: Self.hash(number))
    }
    try Self.write(pages, in: directory.path)
    let name = "hashes-17.img"
    let bytes = try directory.bytes(of: name)
    for bit in 0..<bytes.count * 8 {
      var broken = bytes
      broken[bit / 8] ^= 1 << (bit % 8)
      try directory.write(broken, to: name)
      let fault = Self.fault(readingAll: pages, in: directory.path)
      #expect(fault == .found, "bit \(bit)")
    }
  }

  @Test func `a file that was cut off is found to be so at its end`() throws {
    let directory = try TemporaryDirectory()
    let pages = Self.pages(seed: 6, count: 10_000)
    try Self.write(pages, in: directory.path)
    let name = "hashes-17.img"
    let bytes = try directory.bytes(of: name)
    for length in [0, 7, 31, 32, 100, 4096, 32_768, bytes.count - 32, bytes.count - 1] {
      try directory.write([UInt8](bytes[..<length]), to: name)
      #expect(Self.fault(readingAll: pages, in: directory.path) == .found, "\(length) bytes")
    }
    try directory.write(bytes, to: name)
    #expect(Self.fault(readingAll: pages, in: directory.path) == nil)
  }

  /// Checksums that are right do not make a file right.
  @Test func `runs that contradict each other are refused`() throws {
    let words: [[UInt64]] = [
      // Lower than the one before, and the same again.
      [0x5000, 1, 1, 1, 0x4000, 1, 2, 2], [0x5000, 1, 1, 1, 0x5000, 1, 2, 2],
      // More pages than hashes; none; too many to count.
      [0x5000, 2, 1, 1], [0x5000, 0, 1, 1], [0x5000, 1 << 63, 1, 1], [0x5000, 1],
      // Beyond all addresses.
      [UInt64.max - 0xfff, 1, 1, 1],
    ]
    for block in words {
      let directory = try TemporaryDirectory()
      try directory.write(Self.file([Self.head.words, block, []]), to: "hashes-17.img")
      #expect(Self.fault(readingAll: [(1 << 62, Self.hash(0))], in: directory.path) == .found, "\(block)")
    }
    let directory = try TemporaryDirectory()
    try directory.write(Self.file([Self.head.words, [0x5000, 1, 1, 1], []]), to: "hashes-17.img")
    #expect(
      Self.fault(readingAll: [(0x5000, PageHash(low: 1, high: 1))], in: directory.path) == nil,
      "the same, but right")
  }

  @Test func `a head that is none is refused`() throws {
    let heads: [[UInt64]] = [
      [], [4096, 17, 1, 300, 9], [4096, 17, 1, 300, 9, 36, 0], [4096, 17, 1, 300, 9, 1 << 60],
      [0, 17, 1, 300, 9, 0],
    ]
    for head in heads {
      let directory = try TemporaryDirectory()
      try directory.write(Self.file([head, []]), to: "hashes-17.img")
      #expect(throws: ImagesError.self) { _ = try Self.open(directory.path) }
    }
  }

  /// They were the same for everybody: who is copied could prepare two pages with one hash.
  @Test func `hashes without a seed are refused, with that as the reason`() throws {
    let directory = try TemporaryDirectory()
    var bytes = Self.file([[4096, 17, 1, 300, 0], []])
    bytes.replaceSubrange(4..<8, with: [0x02, 0x74, 0x6c, 0x53])
    try directory.write(bytes, to: "hashes-17.img")
    let error = try #require(throws: ImagesError.self) { _ = try Self.open(directory.path) }
    #expect(error.code == .malformed)
    #expect(error.message.contains("no seed"), "\(error)")
  }

  @Test func `what an interrupted run leaves is taken for unfinished, and goes`() throws {
    #expect(UnfinishedImages.isUnfinished("hashes-17.img.partial"))
    let directory = try TemporaryDirectory()
    try directory.write([1], to: "hashes-17.img.partial")
    try Images.publish([], at: directory.path)
    #expect(try directory.names().contains("hashes-17.img.partial") == false)
  }

  @Test func `goes with the images of a task that is given up`() throws {
    let directory = try TemporaryDirectory()
    var images = try UnfinishedImages.create(at: directory.path)
    _ = try images.createPages()
    _ = try images.createPagemap(pid: 17)
    _ = try images.createHashes(pagemap: "pagemap-17.img")
    images.discard(pagesID: 1, pagemap: "pagemap-17.img")
    try images.publish()
    #expect(try directory.names() == ["inventory.img", "stats-dump"])
  }

  // MARK: What comes of reading

  private struct Missing: Error {}

  private enum Fault {
    /// An error said that the file is broken.
    case found
    /// A hash was given that is none of the page.
    case wrong
    /// A page that was written has no hash.
    case lost
  }

  /// Asks for all pages, and for one behind them.
  private static func fault(
    readingAll pages: [(address: UInt64, hash: PageHash)], in path: String
  ) -> Fault? {
    do {
      guard var reader = try open(path) else { return .lost }
      if reader.head != head { return .wrong }
      for page in pages {
        guard let hash = try reader.hash(at: page.address) else { return .lost }
        guard hash.low == page.hash.low, hash.high == page.hash.high else { return .wrong }
      }
      _ = try reader.hash(at: 1 << 63)
      return nil
    } catch let error as ImagesError where error.code == .malformed {
      return .found
    } catch {
      return .lost
    }
  }

  /// The bytes of a file of these blocks, its checksums right.
  private static func file(_ blocks: [[UInt64]]) -> [UInt8] {
    var bytes: [UInt8] = []
    for (number, block) in blocks.enumerated() {
      let words = [0, 0, 0, 0] + block
      let checksum = PageHashBlock.checksum(words, count: block.count, number: UInt64(number))
      let head = [
        PageHashBlock.mark(number: UInt64(number)), UInt64(block.count), checksum.low, checksum.high,
      ]
      for word in head + block { bytes += (0..<8).map { UInt8(truncatingIfNeeded: word >> ($0 * 8)) } }
    }
    return bytes
  }
}
