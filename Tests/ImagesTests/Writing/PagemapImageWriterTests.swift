import Testing

@testable import SluiceImages

@Suite struct PagemapImageWriterTests {
  /// Derived by hand from CRIU's pagemap.proto: 1 vaddr, 2 compat_nr_pages, 4 flags, 5 nr_pages.
  @Test func `is these bytes`() throws {
    let bytes = try Self.written([
      PagemapRun(address: 0x40_0000, pageCount: 3, flags: .present),
      PagemapRun(address: 0x7fff_ffff_f000, pageCount: 300, flags: [.present, .lazy]),
    ])
    let head: [UInt8] = [0x19, 0x43, 0x56, 0x54, 0x25, 0x40, 0x08, 0x56, 2, 0, 0, 0, 0x08, 7]
    let first: [UInt8] = [11, 0, 0, 0, 0x08, 0x80, 0x80, 0x80, 0x02, 0x10, 3, 0x20, 4, 0x28, 3]
    let second: [UInt8] =
      [16, 0, 0, 0, 0x08, 0x80, 0xe0, 0xff, 0xff, 0xff, 0xff, 0x1f]
      + [0x10, 0xac, 0x02, 0x20, 6, 0x28, 0xac, 0x02]
    #expect(bytes == head + first + second)
  }

  @Test func `a process without pages has a head all the same`() throws {
    #expect(
      try Self.written([])
        == [0x19, 0x43, 0x56, 0x54, 0x25, 0x40, 0x08, 0x56, 2, 0, 0, 0, 0x08, 7])
  }

  @Test func `joins runs that touch and are of one kind, and no others`() throws {
    let runs = [
      PagemapRun(address: 0x1000, pageCount: 1, flags: .present),
      PagemapRun(address: 0x2000, pageCount: 2, flags: .present),
      PagemapRun(address: 0x4000, pageCount: 0, flags: .parent),
      PagemapRun(address: 0x4000, pageCount: 1, flags: .present),
      // Another kind.
      PagemapRun(address: 0x5000, pageCount: 1, flags: .parent),
      PagemapRun(address: 0x6000, pageCount: 1, flags: .parent),
      PagemapRun(address: 0x7000, pageCount: 1, flags: .present),
      // A gap.
      PagemapRun(address: 0x9000, pageCount: 1, flags: .present),
    ]
    #expect(
      try Self.messages(runs) == [
        [1: 7],
        [1: 0x1000, 2: 4, 4: 4, 5: 4],
        [1: 0x5000, 2: 2, 4: 1, 5: 2],
        [1: 0x7000, 2: 1, 4: 4, 5: 1],
        [1: 0x9000, 2: 1, 4: 4, 5: 1],
      ])
  }

  /// The older field has 32 bits, and CRIU before 4.2 reads no other.
  @Test func `splits a run that the older count cannot hold`() throws {
    let most = UInt64(UInt32.max)
    let exactly = PagemapRun(address: 0x1000, pageCount: most, flags: .present)
    #expect(try Self.messages([exactly]) == [[1: 7], [1: 0x1000, 2: most, 4: 4, 5: most]])

    let more = PagemapRun(address: 0x1000, pageCount: 2 * most + 5, flags: .present)
    #expect(
      try Self.messages([more]) == [
        [1: 7],
        [1: 0x1000, 2: most, 4: 4, 5: most],
        [1: 0x1000_0000_0000, 2: most, 4: 4, 5: most],
        [1: 0x1fff_ffff_f000, 2: 5, 4: 4, 5: 5],
      ])
  }

  @Test func `splits a run that grew too long by joining`() throws {
    let most = UInt64(UInt32.max)
    let runs = [
      PagemapRun(address: 0x1000, pageCount: most, flags: .present),
      PagemapRun(address: 0x1000_0000_0000, pageCount: 1, flags: .present),
    ]
    #expect(
      try Self.messages(runs) == [
        [1: 7], [1: 0x1000, 2: most, 4: 4, 5: most], [1: 0x1000_0000_0000, 2: 1, 4: 4, 5: 1],
      ])
  }

  /// 200,000 entries are some 4 MB: the buffer is written out sixty times, with records of all lengths
  /// at its end.
  @Test func `loses no record where its buffer is full`() throws {
    var random: UInt64 = 1
    var address: UInt64 = 0x1000
    let runs = (0..<200_000).map { _ in
      random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      let count = 1 + random >> (40 + random >> 60)
      defer { address += (count + 1) * Images.pageSize }
      return PagemapRun(address: address, pageCount: count, flags: .present)
    }
    let messages = try Self.messages(runs)
    #expect(messages.count == 200_001)
    let expected = runs.map { [1: $0.address, 2: $0.pageCount, 4: 4, 5: $0.pageCount] as [UInt8: UInt64] }
    let firstWrong = zip(messages.dropFirst(), expected).enumerated().first { $1.0 != $1.1 }?.offset
    #expect(firstWrong == nil)
  }

  @Test func `counts the entries that it wrote`() throws {
    let directory = try TemporaryDirectory()
    var images = try UnfinishedImages.create(at: directory.path)
    let file = try images.createPagemap(pid: 1)
    var writer = try PagemapImageWriter(file: file, pagesID: 1, pageSize: Images.pageSize)
    try writer.append(PagemapRun(address: 0x1000, pageCount: 1, flags: .present))
    try writer.append(PagemapRun(address: 0x2000, pageCount: 1, flags: .present))
    try writer.append(PagemapRun(address: 0x8000, pageCount: 1 << 32, flags: .present))
    try writer.finish()
    let count = writer.entryCount
    #expect(count == 3)
  }

  @Test(arguments: [0 as UInt64, 0x1000, 0x2000])
  func `entries that are out of order end the process`(address: UInt64) async throws {
    // Made here, since what ends so cleans up nothing.
    let directory = try TemporaryDirectory()
    await #expect(processExitsWith: .failure) { [address, path = directory.path as String] in
      try Images.publish(
        [
          PagemapRun(address: 0x1000, pageCount: 2, flags: .present),
          PagemapRun(address: address, pageCount: 1, flags: .parent),
        ], at: path)
    }
  }

  private static func written(_ runs: [PagemapRun]) throws -> [UInt8] {
    let directory = try TemporaryDirectory()
    try Images.publish(runs, pid: 5, pagesID: 7, at: directory.path)
    return try directory.bytes(of: "pagemap-5.img")
  }

  private static func messages(_ runs: [PagemapRun]) throws -> [[UInt8: UInt64]] {
    let bytes = try written(runs)
    #expect(bytes.starts(with: WireFormat.pagemapMagics))
    return try WireFormat.messages(bytes.dropFirst(8))
  }
}
