import Foundation
import Testing

@testable import SluiceImages

/// CRIU's own tool reads what is written here. The version of Debian 12 knows only the older count of a
/// pagemap's entry, so it also shows that images are readable for versions that came before the newer one.
@Suite struct CritTests {
  @Test func `crit reads all of a directory's images`() throws {
    let directory = try TemporaryDirectory()
    let most = UInt64(UInt32.max)
    var images = try UnfinishedImages.create(at: directory.path)
    let file = try images.createPagemap(pid: 4_321)
    var writer = try PagemapImageWriter(file: file, pagesID: 3, pageSize: Images.pageSize)
    try writer.append(PagemapRun(address: 0x40_0000, pageCount: 3, flags: .present))
    try writer.append(PagemapRun(address: 0x50_0000, pageCount: 1, flags: .parent))
    try writer.append(PagemapRun(address: 0x1_0000_0000, pageCount: most + 2, flags: [.present, .lazy]))
    try writer.finish()
    var statistics = DumpStatistics()
    statistics.frozenMicroseconds = 1_234
    statistics.pagesScanned = 99
    statistics.pagesWritten = 1 << 40
    try images.publish(statistics: statistics)

    let pagemap = try Self.decode("\(directory.path)/pagemap-4321.img")
    #expect(pagemap.magic == "PAGEMAP")
    let last = 0x1_0000_0000 + most << 12
    #expect(
      pagemap.entries as [NSDictionary] == [
        ["pages_id": 3],
        ["vaddr": 0x40_0000, "nr_pages": 3, "flags": 4],
        ["vaddr": 0x50_0000, "nr_pages": 1, "flags": 1],
        ["vaddr": 0x1_0000_0000, "nr_pages": most, "flags": 6],
        ["vaddr": last, "nr_pages": 2, "flags": 6],
      ])

    let inventory = try Self.decode("\(directory.path)/inventory.img")
    #expect(inventory.magic == "INVENTORY")
    #expect(
      inventory.entries as [NSDictionary] == [["img_version": 0, "dump_uptime": 300, "pre_dump_mode": 2]])

    let stats = try Self.decode("\(directory.path)/stats-dump")
    #expect(stats.magic == "STATS")
    let dump: NSDictionary = [
      "freezing_time": 0, "frozen_time": 1_234, "memdump_time": 0, "memwrite_time": 0,
      "pages_scanned": 99, "pages_skipped_parent": 0, "pages_written": 1 << 40, "pages_lazy": 0,
      "irmap_resolve": 0, "page_pipes": 0, "page_pipe_bufs": 0, "shpages_scanned": 0,
      "shpages_skipped_parent": 0, "shpages_written": 0,
    ]
    #expect(stats.entries as [NSDictionary] == [["dump": dump]])
  }

  /// The other way round: what crit writes is what is written here, byte for byte.
  @Test func `crit encodes an inventory to the same bytes`() throws {
    let directory = try TemporaryDirectory()
    let json = #"{"magic":"INVENTORY","entries":[{"img_version":0,"dump_uptime":300,"pre_dump_mode":2}]}"#
    try directory.write(Array(json.utf8), to: "inventory.json")
    try Command.run(
      "crit", "encode", "-i", "\(directory.path)/inventory.json", "-o", "\(directory.path)/inventory.img")
    #expect(
      try directory.bytes(of: "inventory.img")
        == Inventory(dumpUptime: 300, preDumpMode: .read).encoded())
  }

  private static func decode(_ path: String) throws -> (magic: String, entries: [NSDictionary]) {
    let json = try JSONSerialization.jsonObject(with: Data(Command.run("crit", "decode", "-i", path)))
    let image = try #require(json as? [String: Any])
    return (
      try #require(image["magic"] as? String),
      try #require(image["entries"] as? [[String: Any]]).map { $0 as NSDictionary }
    )
  }
}
