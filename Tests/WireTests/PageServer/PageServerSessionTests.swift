import Testing

@testable import SluiceWire

/// The bytes are written out by hand from what was observed of CRIU's clients.
@Suite struct PageServerSessionTests {
  private static let pageSize = 4096
  private static let process = PageServerObject.process(pid: 17)
  /// Type 1, process 17.
  private static let objectBytes: [UInt8] = [1, 17, 0, 0, 0, 0, 0, 0]

  /// What a session makes of bytes, as if pages came between as they are announced.
  private func requests(
    _ bytes: [UInt8]
  ) throws(PageServerSession.Violation) -> [PageServerSession.Request] {
    var session = PageServerSession(pageSize: Self.pageSize)
    var (rest, requests) = (bytes[...], [PageServerSession.Request]())
    while rest.count >= session.wantedBytes, !session.isClosed {
      let part = Array(rest.prefix(session.wantedBytes))
      rest = rest.dropFirst(part.count)
      if let request = unsafe try session.receive(part.span.bytes) { requests.append(request) }
    }
    return requests
  }

  private func session(_ layout: PageServerLayout, _ headers: [PageServerHeader]) -> [UInt8] {
    headers.flatMap { $0.encoded(layout) }
  }

  private let opened = PageServerHeader(4, object: process.wire)

  private func pages(
    _ address: UInt64, _ count: UInt64, flags: UInt16 = PageServerFlags.present, object: UInt64 = process.wire
  ) -> PageServerHeader {
    PageServerHeader(6, flags: flags, pageCount: count, address: address, object: object)
  }

  @Test func `a header of the older layout has these bytes`() {
    let header = PageServerHeader(6, flags: 4, pageCount: 0x102, address: 0x7000, object: Self.process.wire)
    #expect(
      header.encoded(.bytes24)
        == [6, 0, 4, 0, 2, 1, 0, 0, 0, 0x70, 0, 0, 0, 0, 0, 0] + Self.objectBytes)
    #expect(
      header.encoded(.bytes32)
        == [6, 0, 4, 0, 0, 0, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0x70, 0, 0, 0, 0, 0, 0] + Self.objectBytes)
  }

  @Test(arguments: PageServerLayout.allCases)
  func `the layout is told by the first header`(layout: PageServerLayout) throws {
    let client = PageServerClient(layout: layout)
    let shared = PageServerObject.sharedMemory(id: 5)
    let bytes =
      client.hasParent(Self.process) + client.open(shared)
      + client.pages(
        of: shared, address: 0, pageCount: 2, flags: PageServerFlags.present | PageServerFlags.lazy)
      + client.pages(of: shared, address: 0x2000, pageCount: 1, flags: PageServerFlags.parent)
      + client.close(keepsConnection: false)
    #expect(
      try requests(bytes) == [
        .hasParent(Self.process), .open(shared, isAnswered: true),
        .pages(address: 0, byteCount: 8192, flags: 6, isData: true),
        .pages(address: 0x2000, byteCount: 4096, flags: 1, isData: false), .close(isForced: false),
      ])
  }

  /// A server that is busy answers the first part of a probe when its client has given up on that.
  @Test(arguments: [PageServerObject.process(pid: 17), .process(pid: 256), .sharedMemory(id: 0x200)])
  func `the second part of a probe that comes all the same changes the layout`(object: PageServerObject)
    throws
  {
    let probe = PageServerLayoutProbe(object: object)
    let client = PageServerClient(layout: .bytes32)
    let rest = client.open(object) + client.close(keepsConnection: false)
    let wanted: [PageServerSession.Request] = [
      .hasParent(object), .open(object, isAnswered: true), .close(isForced: false),
    ]
    #expect(try requests(probe.firstPart + probe.secondPart + rest) == wanted)
    // A server of the newer layout takes both for one question.
    #expect(try requests(client.hasParent(object) + rest) == wanted)
    // Only the second header is looked at in that way.
    #expect(throws: PageServerSession.Violation.self) {
      try requests(probe.firstPart + probe.firstPart + probe.secondPart + rest)
    }
  }

  /// Such a client takes the server, which came late, for one of the newer layout.
  @Test func `behind the second part of its question a client goes on in the newer layout`() throws {
    let probe = PageServerLayoutProbe(object: Self.process)
    let client = PageServerClient(layout: .bytes32)
    let bytes =
      probe.firstPart + probe.secondPart + client.hasParent(Self.process) + client.open(Self.process)
      + client.pages(of: Self.process, address: 0, pageCount: 1, flags: PageServerFlags.parent)
      + client.close(keepsConnection: true)
    #expect(
      try requests(bytes) == [
        .hasParent(Self.process), .hasParent(Self.process), .open(Self.process, isAnswered: true),
        .pages(address: 0, byteCount: 4096, flags: 1, isData: false), .close(isForced: true),
      ])
    // The object of another question is no such part.
    let other = PageServerLayoutProbe(object: .process(pid: 18))
    #expect(throws: PageServerSession.Violation.self) {
      try requests(probe.firstPart + other.secondPart + client.open(Self.process))
    }
  }

  @Test(arguments: PageServerLayout.allCases)
  func `older commands mean the same`(layout: PageServerLayout) throws {
    let object = Self.process.wire
    let bytes = session(
      layout,
      [
        PageServerHeader(3, object: object), PageServerHeader(1, pageCount: 1, address: 0, object: object),
        PageServerHeader(2, pageCount: 3, address: 0x1000, object: object), PageServerHeader(0x1024),
      ])
    #expect(
      try requests(bytes) == [
        .open(Self.process, isAnswered: false), .pages(address: 0, byteCount: 4096, flags: 4, isData: true),
        .pages(address: 0x1000, byteCount: 12288, flags: 1, isData: false), .close(isForced: true),
      ])
  }

  @Test(arguments: [10, 11, 16, 17], [27, 28, 29, 32, 33, 34])
  func `older versions name objects by their images`(process: UInt64, shared: UInt64) {
    #expect(PageServerObject(wire: 17 << 8 | process) == .process(pid: 17))
    #expect(PageServerObject(wire: 9 << 8 | shared) == .sharedMemory(id: 9))
  }

  @Test(arguments: [0, 3, 1, 0xff, 1 << 40 | 1, 0x8000_0000 << 8 | 1] as [UInt64])
  func `what is no object is none`(wire: UInt64) {
    #expect(PageServerObject(wire: wire) == nil)
  }

  @Test(arguments: PageServerLayout.allCases)
  func `a client may not`(layout: PageServerLayout) {
    let top = UInt64(1) << 57
    let cases: [(String, [PageServerHeader])] = [
      ("is not CRIU's page-server protocol", [PageServerHeader(0x4547, flags: 0x2054, object: 1 << 8 | 1)]),
      ("unknown kind 0x9", [opened, PageServerHeader(9)]),
      ("unknown kind 0x11023", [opened, PageServerHeader(0x1023, flags: 1)]),
      ("lazy", [opened, PageServerHeader(7, pageCount: 1, object: 17)]),
      (
        "second time",
        [opened, PageServerHeader(3, object: PageServerObject.sharedMemory(id: 1).wire), opened]
      ),
      ("object of unknown kind", [opened, PageServerHeader(4, object: 3)]),
      ("not the object that was opened last", [opened, pages(0, 1, object: 18 << 8 | 1)]),
      ("unknown flags", [opened, pages(0, 1, flags: 12)]),
      ("at once", [opened, pages(0, 1, flags: 5)]),
      ("without bytes", [opened, pages(0, 1, flags: 2)]),
      ("without bytes", [opened, pages(0, 1, flags: 0)]),
      ("no pages", [opened, pages(0x1000, 0)]),
      ("begin where pages do", [opened, pages(0x1001, 1)]),
      ("beyond all memory", [opened, pages(top, 1)]),
      ("beyond all memory", [opened, pages(UInt64.max - 4095, 1)]),
      ("not in order", [opened, pages(0x2000, 1), pages(0x1000, 1)]),
      ("not in order", [opened, pages(0x2000, 2), pages(0x3000, 1, flags: 1)]),
    ]
    for (words, headers) in cases {
      let violation = #expect(throws: PageServerSession.Violation.self) {
        try requests(session(layout, headers))
      }
      #expect(violation?.description.contains(words) == true, "\(words): \(String(describing: violation))")
    }
  }

  @Test(arguments: [1 << 63, 1 << 52, UInt64.max] as [UInt64])
  func `no number of pages makes it reckon wrongly`(count: UInt64) {
    #expect(throws: PageServerSession.Violation.self) {
      try requests(session(.bytes32, [opened, pages(0x1000, count)]))
    }
  }

  @Test func `a client opens only so many objects`() {
    let many = (1...PageServerSession.mostObjects + 1).map {
      PageServerHeader(3, object: PageServerObject.process(pid: UInt32($0)).wire)
    }
    #expect(throws: Never.self) { try requests(session(.bytes24, many.dropLast())) }
    #expect(throws: PageServerSession.Violation.self) { try requests(session(.bytes24, many)) }
  }

  /// Both kinds of servers get a question that they answer, and go on with.
  @Test func `the probe for the layout is a question in both`() throws {
    let probe = PageServerLayoutProbe(object: Self.process)
    #expect(try requests(probe.firstPart) == [.hasParent(Self.process)])
    let whole = PageServerHeader(
      unsafe (probe.firstPart + probe.secondPart).span.bytes, layout: .bytes32)
    #expect(whole.command == 5)
    #expect(whole.object == Self.process.wire)
    #expect(whole.pageCount == 0)
  }

  @Test func `answers have these bytes`() {
    #expect(PageServerSession.answer(hasParent: true) == [1, 0, 0, 0])
    #expect(PageServerSession.answer(hasParent: false) == [0, 0, 0, 0])
    #expect(PageServerSession.answer(toOpen: true) == [1])
    #expect(PageServerSession.answerToClose == [0, 0, 0, 0])
    #expect(PageServerClient.number([0xff, 0xff, 0xff, 0xff]) == -1)
    #expect(PageServerClient.number([1]) == nil)
  }

  /// Whatever comes, a session refuses it or goes on; it never traps.
  @Test func `no bytes make it trap`() {
    var random = SystemRandomNumberGenerator()
    for _ in 0..<20_000 {
      var bytes = (0..<Int.random(in: 0...160, using: &random)).map { _ in
        Bool.random(using: &random) ? 0 : UInt8.random(in: 0...255, using: &random)
      }
      if bytes.count > 24 { bytes.replaceSubrange(0..<24, with: opened.encoded(.bytes24)) }
      _ = try? requests(bytes)
    }
  }
}
