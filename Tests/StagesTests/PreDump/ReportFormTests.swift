import Foundation
import Testing

@testable import Sluice
@testable import SluiceTarget

/// What reports are where they are encoded; they come back the same.
@Suite struct ReportFormTests {
  private func expect<Report: Codable & Equatable>(
    _ report: Report, is text: String, sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    let encoded = try encoder.encode(report)
    #expect(String(decoding: encoded, as: UTF8.self) == text, sourceLocation: sourceLocation)
    #expect(try JSONDecoder().decode(Report.self, from: encoded) == report, sourceLocation: sourceLocation)
  }

  private func vma(_ line: String) throws -> VMA {
    let vma = VMA(line: Array(line.utf8).span)
    return try #require(vma)
  }

  @Test func ofFlattening() throws {
    try expect(
      FlattenImages.Report(depth: 3, pagemaps: 2, pages: 7, bytes: 28_672, holeBytes: 4096, isBase: true),
      is: #"{"bytes":28672,"depth":3,"hole_bytes":4096,"is_base":true,"pagemaps":2,"pages":7}"#)
  }

  @Test func ofContents() throws {
    var report = ContentsCheck.ProcessReport(pid: 12, namespacePid: 1, hasImages: true)
    (report.pages.equal, report.pages.differing, report.pages.missing, report.pages.gone) = (1, 2, 3, 4)
    report.unmapped = 5
    report.mappings = [
      .init(start: 0x7fff_0000, end: .max, name: "[heap]", differing: 2, missing: 3, gone: 4)
    ]
    try expect(
      report,
      is: #"{"differing":2,"equal":1,"gone":4,"has_images":true,"mappings":["#
        + #"{"differing":2,"end":"0xffffffffffffffff","gone":4,"missing":3,"name":"[heap]","start":"0x7fff0000"}"#
        + #"],"missing":3,"namespace_pid":1,"pid":12,"unmapped":5}"#)
  }

  @Test func ofWhatIsWritten() throws {
    let mapping = DirtyRate.Mapping(
      try vma("1000-3000 rw-p 00000000 00:00 0 [heap]"), of: 12, pages: 2, in: .milliseconds(500))
    let report = DirtyRate.Report(
      pid: 12, windows: [.init(duration: .milliseconds(250), pages: 2)], totalPages: 9, pageSize: 4096,
      mappings: [mapping], tracker: .writeProtect, processes: 1, joinedGap: 0, pagesPerSecond: 8,
      bytesPerSecond: 32_768)
    try expect(
      report,
      is: #"{"bytes_per_second":32768,"joined_gap":0,"mappings":["#
        + #"{"end":"0x3000","name":"[heap]","pages":2,"pages_per_second":4,"pid":12,"start":"0x1000"}"#
        + #"],"page_size":4096,"pages_per_second":8,"pid":12,"processes":1,"total_pages":9,"#
        + #""tracker":"write-protect","windows":[{"pages":2,"seconds":0.25}]}"#)
    var policy = RoundPolicy()
    policy.rounds = 2
    try expect(
      report.model.forecast(copyRate: 32, policy: policy),
      is: #"{"end":"few-pages","final_pages":2,"final_seconds":0.0625,"#
        + #""rounds":[{"pages":9,"seconds":0.28125}]}"#)
  }

  @Test func ofMappingsThatLive() throws {
    var mapping = LiveMappings.Mapping(try vma("1000-3000 r-xs 00000000 08:01 77 /lib/x y"), skipped: .shared)
    mapping.pages.inParent = 1
    try expect(
      mapping,
      is: #"{"end":"0x3000","name":"/lib/x y","pages_in_parent":1,"pages_missing":0,"pages_present":0,"#
        + #""permissions":"r-xs","skipped":"shared","start":"0x1000"}"#)
  }

  @Test func addressesAreHexadecimal() {
    for text in [#"["12"]"#, #"["0x"]"#, #"["0xg"]"#, "[12]"] {
      #expect(throws: DecodingError.self) {
        try JSONDecoder().decode([Hexadecimal].self, from: Data(text.utf8))
      }
    }
  }
}
