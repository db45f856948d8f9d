import Testing

@testable import SluiceImages

@Suite struct PagemapImageReaderTests {
  @Test func `reads what was written`() throws {
    let runs = [
      PagemapRun(address: 0x1000, pageCount: 3, flags: .present),
      PagemapRun(address: 0x4000, pageCount: 1, flags: .parent),
      PagemapRun(address: 0x7fff_ffff_0000, pageCount: 15, flags: [.present, .lazy]),
    ]
    let directory = try TemporaryDirectory()
    try Images.publish(runs, pid: 77, pagesID: 9, at: directory.path)
    #expect(try Images.entries(ofPid: 77, at: directory.path) == runs)
    let images = try ImagesDirectory(path: directory.path)
    let pagesID = try PagemapImageReader(pid: 77, in: images)?.pagesID
    #expect(pagesID == 9)
    #expect(try Images.entries(ofPid: 78, at: directory.path) == nil)
  }

  /// Entries as CRIU wrote and writes them: fields 1 vaddr, 2 the older count, 3 in_parent, 4 flags,
  /// 5 the newer count.
  @Test(
    arguments: [
      // CRIU up to 4.1: the older count alone.
      ([(1, 0x1000), (2, 3), (4, 4)], PagemapRun(address: 0x1000, pageCount: 3, flags: .present)),
      // CRIU 4.2: the newer count, and 0 in the older field, which is required.
      (
        [(1, 0x1000), (2, 0), (4, 6), (5, 3)],
        PagemapRun(address: 0x1000, pageCount: 3, flags: [.present, .lazy])
      ),
      ([(1, 0), (2, 0), (4, 4), (5, 1 << 40)], PagemapRun(address: 0, pageCount: 1 << 40, flags: .present)),
      // The newer count has the last word.
      ([(1, 0x1000), (2, 7), (4, 4), (5, 3)], PagemapRun(address: 0x1000, pageCount: 3, flags: .present)),
      // Before there were flags.
      ([(1, 0x1000), (2, 3)], PagemapRun(address: 0x1000, pageCount: 3, flags: .present)),
      ([(1, 0x1000), (2, 3), (3, 0)], PagemapRun(address: 0x1000, pageCount: 3, flags: .present)),
      ([(1, 0x1000), (2, 3), (3, 1)], PagemapRun(address: 0x1000, pageCount: 3, flags: .parent)),
      // Flags have the last word.
      ([(1, 0x1000), (2, 3), (3, 1), (4, 4)], PagemapRun(address: 0x1000, pageCount: 3, flags: .present)),
      ([(1, 0x1000), (2, 3), (4, 0)], PagemapRun(address: 0x1000, pageCount: 3, flags: [])),
    ] as [([(UInt8, UInt64)], PagemapRun)])
  func `understands the entries of all versions`(fields: [(UInt8, UInt64)], run: PagemapRun) throws {
    let bytes = WireFormat.pagemap(entries: [fields.map { (number: $0, value: $1) }])
    let (runs, error) = try Self.read(bytes)
    #expect(error == nil)
    #expect(runs == [run])
  }

  /// What a CRIU to come may say, such as that the bytes are compressed (field 6, a message) or stand elsewhere (flag 8).
  @Test(
    arguments: [
      (WireFormat.message([(1, 1)]), [[(1, 0x1000), (2, 3), (4, 12)]], "the unknown flag 0x8"),
      (
        WireFormat.message([(1, 1)]), [[(1, 0x1000), (2, 3), (4, 4 | 1 << 31)]], "the unknown flag 0x80000000"
      ),
      // Also of an entry that has no page, which is passed over.
      (WireFormat.message([(1, 1)]), [[(1, 0x1000), (2, 0), (4, 12)]], "the unknown flag 0x8"),
      (WireFormat.message([(1, 1)]), [[(1, 0x1000), (2, 3), (4, 4), (6, 1)]], "the unknown field 6"),
      (WireFormat.message([(1, 1)]), [[(1, 0x1000), (2, 3), (4, 4), (15, 0)]], "the unknown field 15"),
      (WireFormat.message([(1, 1), (9, 1)]), [[(1, 0x1000), (2, 3), (4, 4)]], "the unknown field 9"),
    ] as [([UInt8], [[(UInt8, UInt64)]], String)])
  func `what is not known is not taken for plain`(
    head: [UInt8], entries: [[(UInt8, UInt64)]], reason: String
  ) throws {
    let bytes =
      WireFormat.pagemapMagics + WireFormat.record(head)
      + entries.flatMap { WireFormat.record(WireFormat.message($0.map { (number: $0, value: $1) })) }
    let (runs, error) = try Self.read(bytes)
    #expect(runs.isEmpty)
    #expect(error?.code == .malformed)
    #expect(error?.message.contains("was made by a newer CRIU") == true, "\(String(describing: error))")
    #expect(error?.message.contains(reason) == true, "\(String(describing: error))")
  }

  @Test func `a message in a field that is not known is not passed over`() throws {
    let entry = WireFormat.message([(1, 0x1000), (2, 3), (4, 4)]) + [0x32, 2, 8, 1]
    let (runs, error) = try Self.read(
      WireFormat.pagemapMagics + WireFormat.record(WireFormat.message([(1, 1)])) + WireFormat.record(entry))
    #expect(runs.isEmpty)
    #expect(error?.message.contains("was made by a newer CRIU") == true)
  }

  @Test func `reads records across the end of its buffer`() throws {
    let count = 40_000
    let entries: [[(number: UInt8, value: UInt64)]] = (0..<count).map { index in
      [(1, UInt64(index) << 13), (2, 1), (4, 4)]
    }
    let (runs, error) = try Self.read(WireFormat.pagemap(entries: entries))
    #expect(error == nil)
    #expect(runs.count == count)
    let firstWrong = runs.enumerated().first { $1.address != UInt64($0) << 13 || $1.pageCount != 1 }?.offset
    #expect(firstWrong == nil)
  }

  @Test(
    arguments: [
      [],
      Array(WireFormat.pagemapMagics[..<4]),
      WireFormat.pagemapMagics,
      // The magics the wrong way round; those of stats-dump; of an inventory.
      Array(WireFormat.pagemapMagics[4...] + WireFormat.pagemapMagics[..<4]) + [2, 0, 0, 0, 8, 1],
      [0x40, 0x59, 0x10, 0x55, 0x06, 0x33, 0x09, 0x57, 2, 0, 0, 0, 8, 1],
      WireFormat.inventoryMagic + [2, 0, 0, 0, 8, 1],
      // A head without its number; with a number of the wrong type; entries that lack what they must have.
      WireFormat.pagemapMagics + [0, 0, 0, 0],
      WireFormat.pagemapMagics + [3, 0, 0, 0, 0x0a, 1, 0x61],
      WireFormat.pagemapMagics + [2, 0, 0, 0, 8, 1] + [0, 0, 0, 0],
      WireFormat.pagemap(entries: [[(1, 0x1000), (4, 4), (5, 3)]]),
      WireFormat.pagemap(entries: [[(2, 3), (4, 4), (5, 3)]]),
      // Absurd lengths.
      WireFormat.pagemapMagics + [0xff, 0xff, 0xff, 0xff, 8, 1],
      WireFormat.pagemapMagics + [0xff, 0xff, 0xff, 0x7f, 8, 1],
      WireFormat.pagemapMagics + [2, 0, 0, 0, 8, 1] + [0x01, 0, 1, 0] + [UInt8](repeating: 0, count: 0x10001),
      // A varint of eleven bytes.
      WireFormat.pagemapMagics + [12, 0, 0, 0, 8] + [UInt8](repeating: 0x80, count: 10) + [1],
    ] as [[UInt8]])
  func `what is no pagemap is an error that names the file`(bytes: [UInt8]) throws {
    let error = try #require(try Self.read(bytes).error)
    #expect(error.code == .malformed)
    #expect(error.message.contains("pagemap-1.img"))
  }

  /// Entries as (address, pages), of which the last cannot be; half of the address space is the kernel's.
  @Test(
    arguments: [
      ([(0x1001, 1)], "does not start at the beginning of a page"),
      ([(0x1000, 1), (0x2fff, 1)], "does not start at the beginning of a page"),
      ([(1 << 63, 1)], "is outside the address space"),
      ([((1 << 63) - 0x1000, 2)], "is outside the address space"),
      ([(0x1000, UInt64.max)], "is outside the address space"),
      ([(0, 1 << 52)], "is outside the address space"),
      ([(0x1000, 2), (0x2000, 1)], "overlaps another, or is not in order"),
      ([(0x5000, 1), (0x1000, 1)], "overlaps another, or is not in order"),
    ] as [([(UInt64, UInt64)], String)])
  func `what cannot be in an address space is malformed`(entries: [(UInt64, UInt64)], reason: String) throws {
    let fields = entries.map { entry -> [(number: UInt8, value: UInt64)] in
      [(1, entry.0), (2, 0), (4, 4), (5, entry.1)]
    }
    let bytes = WireFormat.pagemap(entries: fields)
    let (runs, error) = try Self.read(bytes)
    #expect(runs.count == entries.count - 1)
    #expect(error?.code == .malformed)
    #expect(error?.message.contains(reason) == true, "\(String(describing: error))")
  }

  @Test func `the last page below the kernel's half is one`() throws {
    let entry: [(number: UInt8, value: UInt64)] = [(1, (1 << 63) - 0x1000), (2, 1), (4, 4), (5, 1)]
    #expect(try Self.read(WireFormat.pagemap(entries: [entry])).runs.count == 1)
  }

  /// 64 KiB; CRIU's own records of these images have a few dozen bytes.
  @Test(arguments: [(0x10000, true), (0x10001, false)])
  func `a record is read up to the longest length that is allowed`(length: Int, isRead: Bool) throws {
    // The one field that it has fills it up, over and over; the last one counts. 3 can be written in two bytes, too.
    let field: [UInt8] = [0x08, 3]
    var head = Array(repeatElement(field, count: length / 2).joined())
    if length % 2 == 1 { head.replaceSubrange(0..<2, with: [0x08, 0x83, 0]) }
    #expect(head.count == length)
    let entry = WireFormat.record(WireFormat.message([(1, 0x1000), (2, 1)]))
    let (runs, error) = try Self.read(WireFormat.pagemapMagics + WireFormat.record(head) + entry)
    #expect(runs == (isRead ? [PagemapRun(address: 0x1000, pageCount: 1, flags: .present)] : []))
    #expect(error?.code == (isRead ? nil : .malformed))
  }

  static let small = WireFormat.pagemap(entries: [
    [(1, 0x40_0000), (2, 3), (4, 4), (5, 3)],
    [(1, 0x7fff_ffff_f000), (2, 300), (4, 6), (5, 300)],
  ])

  @Test func `a truncated file gives its whole entries, and an error unless it ends between two`() throws {
    let whole = try Self.read(Self.small).runs
    #expect(whole.count == 2)
    // Magics and head; then entries of 15 and 20 bytes with their lengths.
    let ends = [14, 29, 49]
    #expect(Self.small.count == ends.last)
    for count in Self.small.indices {
      let (runs, error) = try Self.read(Array(Self.small[..<count]))
      #expect(runs == Array(whole.prefix(max(0, ends.count { $0 <= count } - 1))))
      #expect((error == nil) == ends.contains(count))
      if let error { #expect(error.code == .malformed) }
    }
  }

  @Test func `every flipped bit gives entries or an error`() throws {
    for index in Self.small.indices {
      for bit in 0..<8 {
        var broken = Self.small
        broken[index] ^= 1 << bit
        let (runs, error) = try Self.read(broken)
        #expect(runs.count <= Self.small.count / 6)
        if let error { #expect(error.code == .malformed) }
        if index < 8 { #expect(error != nil) }
      }
    }
  }

  @Test func `bytes at random give entries or an error`() throws {
    var random: UInt64 = 7
    for _ in 0..<500 {
      let noise = (0..<40).map { _ in
        random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return UInt8(random >> 56)
      }
      // Behind a good beginning, with a length that fits.
      let (_, error) = try Self.read(
        WireFormat.pagemapMagics + [2, 0, 0, 0, 8, 1] + WireFormat.record(noise))
      if let error { #expect(error.code == .malformed) }
    }
  }

  /// What can be read, and what it ends with.
  private static func read(_ bytes: [UInt8]) throws -> (runs: [PagemapRun], error: ImagesError?) {
    let directory = try TemporaryDirectory()
    try directory.write(bytes, to: "pagemap-1.img")
    let images = try ImagesDirectory(path: directory.path)
    var runs: [PagemapRun] = []
    do throws(ImagesError) {
      guard var reader = try PagemapImageReader(pid: 1, in: images) else { return ([], nil) }
      while let run = try reader.next() { runs.append(run) }
      return (runs, nil)
    } catch {
      return (runs, error)
    }
  }
}
