import CSluiceLinux
import Logging
import SluiceImages
import SluicePipeline
import SluiceTestSupport
import Testing

@testable import Sluice

@Suite struct PageComparisonTests {
  private static let pageSize = UInt64(sluice_page_size())
  private static let head = PageHashHead(
    pageSize: pageSize, pid: 17, startTime: 1, dumpUptime: 2, seed: 3, bootID: "this")
  private static let pagemap = "pagemap-17.img"

  /// What a page holds: its first word.
  private typealias Pages = [UInt64: UInt64]

  private static func buffer(of pages: Pages, in ring: BufferRing) async throws -> PageBuffer {
    guard var buffer = await ring.take() else { throw TestFailure("this test does not cancel") }
    for (index, page) in pages.keys.sorted().enumerated() {
      let added = buffer.append(MemoryRun(address: page * pageSize, length: pageSize))
      guard added == pageSize else { throw TestFailure("the buffer is full") }
      let start = index * Int(pageSize)
      for offset in stride(from: 0, to: Int(pageSize), by: 8) {
        unsafe buffer.bytes.storeBytes(of: 0, toByteOffset: start + offset, as: UInt64.self)
      }
      unsafe buffer.bytes.storeBytes(of: pages[page] ?? 0, toByteOffset: start, as: UInt64.self)
    }
    buffer.hashPages(seed: 3)
    return buffer
  }

  /// A round of these pages, of which the pagemap has those that it `has`.
  ///
  /// - Returns: the pages that were left to the parent, and those that stayed.
  private static func round(
    _ pages: Pages, has: (UInt64) -> Bool = { _ in true }, on parent: String?, at path: String,
    _ ring: BufferRing
  ) async throws -> (left: [UInt64], kept: [UInt64]) {
    var images = try UnfinishedImages.create(at: path)
    _ = try images.createPagesFile(id: 1, direct: false)
    var entries = try PagemapImageWriter(
      file: try images.createPagemap(name: pagemap), pagesID: 1, pageSize: pageSize)
    for page in pages.keys.sorted() where has(page) {
      try entries.append(PagemapRun(address: page * pageSize, pageCount: 1, flags: .present))
    }
    try entries.finish()
    var comparison = PageComparison(
      last: try lastPages(of: parent),
      hashes: try PageHashWriter(file: try images.createHashes(pagemap: pagemap), head: head),
      pageSize: pageSize, pid: 17, logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() }))
    let plan = ReadPlan(
      sequence: 0, owner: .image(pagemap: pagemap), buffer: try await buffer(of: pages, in: ring))
    var chunk = PageChunk(plan, pageSize: Int(pageSize))
    let count = try comparison.sort(&chunk, pageSize: Int(pageSize))
    try comparison.finish()
    try images.publish(
      inventory: Inventory(dumpUptime: 2, preDumpMode: .read), statistics: DumpStatistics(), syncs: false)
    let left = (0..<chunk.buffer.listCount).flatMap { unsafe numbers(of: chunk.buffer.listTable[$0]) }
    let kept = (0..<chunk.buffer.runCount).flatMap { unsafe numbers(of: chunk.buffer.runTable[$0]) }
    #expect(left.count == count)
    return (left, kept)
  }

  private static func lastPages(of parent: String?) throws -> LastPages? {
    guard let parent else { return nil }
    let images = try ParentImages(path: parent)
    guard let hashes = try images.hashes(pagemap: pagemap), let coverage = try images.coverage(pid: 17) else {
      throw TestFailure("\(parent) has no hashes or no pagemap")
    }
    return LastPages(hashes: hashes, coverage: coverage)
  }

  private static func numbers(of run: MemoryRun) -> [UInt64] {
    Array(run.address / pageSize..<(run.address + run.length) / pageSize)
  }

  private static func ring() throws -> BufferRing {
    try BufferRing(
      layout: BufferLayout(count: 1, chunkBytes: 256 * Int(pageSize), pageSize: Int(pageSize)))
  }

  @Test func `only what is the same at the same address is left to the parent`() async throws {
    var random = SplitMix(seed: 3)
    let ring = try Self.ring()
    for _ in 0..<15 {
      try await withTemporaryDirectory { directory in
        var (last, now) = (Pages(), Pages())
        for page in UInt64(16)..<216 {
          // Few different contents: what moved is the same as somewhere else.
          if Int.random(in: 0..<4, using: &random) > 0 {
            last[page] = UInt64.random(in: 0..<3, using: &random)
          }
          switch Int.random(in: 0..<4, using: &random) {
          case 0: now[page] = UInt64.random(in: 0..<3, using: &random)
          case 1: break
          default: now[page] = last[page]
          }
        }
        // A page that the hashes have and the pagemap has not.
        let missing = last.keys.sorted()[last.count / 2]
        let first = try await Self.round(
          last, has: { $0 != missing }, on: nil, at: "\(directory)/1", ring)
        #expect(first.left.isEmpty && first.kept == last.keys.sorted())
        let second = try await Self.round(now, on: "\(directory)/1", at: "\(directory)/2", ring)
        let same = now.keys.sorted().filter { last[$0] == now[$0] && $0 != missing }
        #expect(second.left == same)
        #expect(second.kept == now.keys.sorted().filter { !same.contains($0) })
        // What was left is known to the next round all the same.
        let third = try await Self.round(now, on: "\(directory)/2", at: "\(directory)/3", ring)
        #expect(third.kept.isEmpty && third.left == now.keys.sorted())
      }
    }
  }
}
