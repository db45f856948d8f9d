import CSluiceLinux
import SluicePipeline
import SluiceTestSupport
import Testing

@Suite struct PageBufferTests {
  static let page = UInt64(sluice_page_size())

  /// An empty buffer of four pages, with a table of four runs.
  static func buffer() async throws -> PageBuffer {
    let ring = try BufferRing(
      layout: BufferLayout(count: 1, chunkBytes: 4 * Int(page), pageSize: Int(page)))
    guard let buffer = await ring.take() else { preconditionFailure("this test does not cancel") }
    return buffer
  }

  @Test func `joins runs that touch`() async throws {
    var buffer = try await Self.buffer()
    #expect(buffer.adding(page: 10) == Self.page)
    #expect(buffer.adding(page: 11, count: 2) == 2 * Self.page)
    #expect(buffer.runs == [Run(page: 10, count: 3)])
    #expect(buffer.byteCount == 3 * Int(Self.page))
  }

  @Test func `keeps runs apart that do not touch, in the order they came`() async throws {
    var buffer = try await Self.buffer()
    for page: UInt64 in [10, 12, 9, 11] { #expect(buffer.adding(page: page) == Self.page) }
    #expect(buffer.runs == [10, 12, 9, 11].map { Run(page: $0, count: 1) })
  }

  @Test func `cuts a run where the buffer is full`() async throws {
    var buffer = try await Self.buffer()
    #expect(buffer.adding(page: 10, count: 3) == 3 * Self.page)
    #expect(buffer.adding(page: 20, count: 5) == Self.page)
    #expect(buffer.runs == [Run(page: 10, count: 3), Run(page: 20, count: 1)])
    #expect(buffer.adding(page: 21) == 0)
    #expect(buffer.adding(page: 40) == 0)
    #expect(buffer.byteCount == 4 * Int(Self.page))
  }

  @Test func `cuts a run that it joins`() async throws {
    var buffer = try await Self.buffer()
    #expect(buffer.adding(page: 10) == Self.page)
    #expect(buffer.adding(page: 11, count: 1 << 40) == 3 * Self.page)
    #expect(buffer.runs == [Run(page: 10, count: 4)])
  }

  @Test func `a table that is full takes only what joins its last run`() async throws {
    var buffer = try await Self.buffer()
    for start: UInt64 in [0, 100, 200, 300] {
      #expect(buffer.append(MemoryRun(address: start, length: 8)) == 8)
    }
    #expect(buffer.append(MemoryRun(address: 400, length: 8)) == 0)
    #expect(buffer.append(MemoryRun(address: 308, length: 8)) == 8)
    #expect(buffer.runCount == 4)
    #expect(buffer.byteCount == 40)
    #expect(buffer.runs.last == Run(address: 300, length: 16))
  }

  @Test func `an empty run adds nothing`() async throws {
    var buffer = try await Self.buffer()
    #expect(buffer.append(MemoryRun(address: 4_096, length: 0)) == 0)
    #expect(buffer.runCount == 0)
  }

  @Test func `what was cut down can be filled again`() async throws {
    var buffer = try await Self.buffer()
    _ = buffer.adding(page: 10, count: 2)
    _ = buffer.adding(page: 20, count: 2)
    buffer.keep(runCount: 1, byteCount: 2 * Int(Self.page))
    #expect(buffer.runs == [Run(page: 10, count: 2)])
    #expect(buffer.byteCount == 2 * Int(Self.page))
    #expect(buffer.adding(page: 12, count: 9) == 2 * Self.page)
    #expect(buffer.runs == [Run(page: 10, count: 4)])
  }

  @Test func `a hole makes two runs of one`() async throws {
    var buffer = try await Self.buffer()
    _ = buffer.adding(page: 10, count: 4)
    unsafe buffer.runTable[0] = MemoryRun(address: 10 * Self.page, length: Self.page)
    unsafe buffer.runTable[1] = MemoryRun(address: 12 * Self.page, length: 2 * Self.page)
    buffer.keep(runCount: 2, byteCount: 3 * Int(Self.page))
    #expect(buffer.runs == [Run(page: 10, count: 1), Run(page: 12, count: 2)])
    #expect(buffer.byteCount == 3 * Int(Self.page))
  }

  @Test func `drops pages and lists them, and what stays moves together`() async throws {
    var buffer = try await Self.buffer()
    _ = buffer.adding(page: 10, count: 3)
    _ = buffer.adding(page: 20)
    buffer.stamp()
    #expect(buffer.drop([false, true, false, true]) == 2)
    #expect(buffer.runs == [Run(page: 10, count: 1), Run(page: 12, count: 1)])
    #expect(buffer.listed == [Run(page: 11, count: 1), Run(page: 20, count: 1)])
    #expect(buffer.byteCount == 2 * Int(Self.page))
    #expect(buffer.stamps == [10, 12])
  }

  @Test func `drops nothing or everything`() async throws {
    var buffer = try await Self.buffer()
    _ = buffer.adding(page: 10, count: 4)
    #expect(buffer.drop([false, false, false, false]) == 0)
    #expect(buffer.runs == [Run(page: 10, count: 4)])
    #expect(buffer.listed.isEmpty)
    #expect(buffer.drop([true, true, true, true]) == 4)
    #expect(buffer.runs.isEmpty && buffer.byteCount == 0)
    #expect(buffer.listed == [Run(page: 10, count: 4)])
    var empty = try await Self.buffer()
    #expect(empty.drop([]) == 0)
  }

  /// The table is rewritten where it stands, with more runs in it than before: against the plainest way to do it.
  @Test func `drops any pages of any runs`() async throws {
    var random = SplitMix(seed: 7)
    let count = 64
    let ring = try BufferRing(
      layout: BufferLayout(count: 1, chunkBytes: count * Int(Self.page), pageSize: Int(Self.page)))
    for _ in 0..<500 {
      guard var buffer = await ring.take() else { preconditionFailure("this test does not cancel") }
      var (page, pages) = (UInt64(1), [UInt64]())
      let used = Int.random(in: 0...count, using: &random)
      let mostJoined = Int.random(in: 1...count, using: &random)
      while pages.count < used {
        page += UInt64.random(in: 1...3, using: &random)
        for _ in 0..<min(used - pages.count, Int.random(in: 1...mostJoined, using: &random)) {
          #expect(buffer.adding(page: page) == Self.page)
          pages.append(page)
          page += 1
        }
      }
      buffer.stamp()
      let share = Int.random(in: 0...10, using: &random)
      let isDropped = pages.map { _ in Int.random(in: 0..<10, using: &random) < share }
      let dropped = zip(pages, isDropped).filter(\.1).map(\.0)
      let kept = zip(pages, isDropped).filter { !$0.1 }.map(\.0)
      #expect(buffer.drop(isDropped) == dropped.count)
      #expect(buffer.runs.flatMap(\.pages) == kept)
      #expect(buffer.listed.flatMap(\.pages) == dropped)
      #expect(buffer.stamps == kept)
      #expect(buffer.byteCount == kept.count * Int(Self.page))
    }
  }

  @Test func `hashes page by page`() async throws {
    var buffer = try await Self.buffer()
    _ = buffer.adding(page: 10, count: 2)
    _ = buffer.adding(page: 20, count: 2)
    buffer.stamp()
    buffer.hashPages(seed: 5)
    let first = buffer.hashes
    // Of four pages with different contents, each differs from the others.
    #expect(Set(first).count == 4)
    buffer.hashPages(seed: 5)
    #expect(buffer.hashes == first)
    // Not in place: under ThreadSanitizer, Swift 6.3.1 emits broken code for that ("Invalid bitcast").
    let last = 3 * Int(Self.page) - 1
    let byte = unsafe buffer.bytes.load(fromByteOffset: last, as: UInt8.self)
    unsafe buffer.bytes.storeBytes(of: byte ^ 1, toByteOffset: last, as: UInt8.self)
    buffer.hashPages(seed: 5)
    #expect(zip(buffer.hashes, first).map { $0 == $1 } == [true, true, false, true])
    let third = buffer.hashes
    buffer.hashPages(seed: 6)
    #expect(zip(buffer.hashes, third).allSatisfy { $0 != $1 }, "with another seed, none is the same")
  }

  @Test func `a buffer that was used comes back empty`() async throws {
    let ring = try BufferRing(
      layout: BufferLayout(count: 1, chunkBytes: Int(Self.page), pageSize: Int(Self.page)))
    for _ in 0..<2 {
      guard var buffer = await ring.take() else { preconditionFailure("this test does not cancel") }
      #expect(buffer.runCount == 0)
      #expect(buffer.byteCount == 0)
      #expect(buffer.adding(page: 1) == Self.page)
    }
  }

  @Test func `a buffer never says that it has more than was planned`() async {
    await #expect(processExitsWith: .failure) {
      var buffer = try await PageBufferTests.buffer()
      buffer.keep(runCount: 0, byteCount: 1)
    }
    await #expect(processExitsWith: .failure) {
      var buffer = try await PageBufferTests.buffer()
      buffer.keep(runCount: 1, byteCount: 0)
    }
  }
}

private struct Run: Equatable {
  let address: UInt64
  let length: UInt64

  init(address: UInt64, length: UInt64) {
    self.address = address
    self.length = length
  }

  init(page: UInt64, count: UInt64) {
    self.init(address: page * PageBufferTests.page, length: count * PageBufferTests.page)
  }

  /// The numbers of its pages.
  var pages: Range<UInt64> { address / PageBufferTests.page..<(address + length) / PageBufferTests.page }
}

extension PageBuffer {
  fileprivate mutating func adding(page: UInt64, count: UInt64 = 1) -> UInt64 {
    append(MemoryRun(address: page * PageBufferTests.page, length: count * PageBufferTests.page))
  }

  fileprivate var runs: [Run] {
    (0..<runCount).map { unsafe Run(address: runTable[$0].address, length: runTable[$0].length) }
  }

  fileprivate var listed: [Run] {
    (0..<listCount).map { unsafe Run(address: listTable[$0].address, length: listTable[$0].length) }
  }

  /// Gives each page of the data contents of its own, which tell its number at both ends.
  fileprivate func stamp() {
    let size = Int(PageBufferTests.page)
    for (index, page) in runs.flatMap(\.pages).enumerated() {
      for offset in [0, size - 8] {
        unsafe bytes.storeBytes(of: page, toByteOffset: index * size + offset, as: UInt64.self)
      }
    }
  }

  /// What the pages of the data tell; 0 for one whose ends differ.
  fileprivate var stamps: [UInt64] {
    let size = Int(PageBufferTests.page)
    return (0..<byteCount / size).map { index in
      let ends = [0, size - 8].map {
        unsafe bytes.load(fromByteOffset: index * size + $0, as: UInt64.self)
      }
      return ends[0] == ends[1] ? ends[0] : 0
    }
  }

  fileprivate var hashes: [[UInt64]] {
    (0..<byteCount / Int(PageBufferTests.page)).map { unsafe [hashTable[$0].low, hashTable[$0].high] }
  }
}
