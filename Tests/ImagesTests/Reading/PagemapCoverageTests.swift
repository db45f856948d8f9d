import Testing

@testable import SluiceImages

@Suite struct PagemapCoverageTests {
  private static let page = UInt64(4096)

  /// What a pagemap says of a range, as parts that are had and parts that are not.
  private func answers(
    of runs: [PagemapRun], to ranges: [Range<UInt64>]
  ) throws -> [(isCovered: Bool, range: Range<UInt64>)] {
    let directory = try TemporaryDirectory()
    try Images.publish(runs, pid: 1, pagesID: 1, at: directory.path)
    let images = try ImagesDirectory(path: directory.path)
    guard var coverage = try PagemapCoverage.open(pid: 1, in: images) else { return [] }
    var answers: [(isCovered: Bool, range: Range<UInt64>)] = []
    for range in ranges {
      var start = range.lowerBound
      while start < range.upperBound {
        let (isCovered, end) = try coverage.next(in: start..<range.upperBound)
        answers.append((isCovered, start..<end))
        start = end
      }
    }
    return answers
  }

  /// Every range of up to eight pages, against a set of pages.
  @Test func `answers as a set of pages would`() throws {
    let runs = [
      PagemapRun(address: 0x10_000, pageCount: 2, flags: .present),
      PagemapRun(address: 0x12_000, pageCount: 1, flags: .parent),
      PagemapRun(address: 0x14_000, pageCount: 1, flags: .lazy),
      PagemapRun(address: 0x15_000, pageCount: 2, flags: [.present, .lazy]),
    ]
    let had: Set<UInt64> = [0x10_000, 0x11_000, 0x12_000, 0x15_000, 0x16_000]
    for first in UInt64(0xe)...0x18 {
      for count in UInt64(1)...8 {
        let range = first << 12..<(first + count) << 12
        var next = range.lowerBound
        for answer in try answers(of: runs, to: [range]) {
          #expect(answer.range.lowerBound == next)
          next = answer.range.upperBound
          for page in stride(from: answer.range.lowerBound, to: answer.range.upperBound, by: 4096) {
            #expect(had.contains(page) == answer.isCovered, "0x\(String(page, radix: 16)) in \(range)")
          }
        }
        #expect(next == range.upperBound)
      }
    }
  }

  /// The ranges that are known beforehand, asked upwards in steps of each size.
  @Test func `says the same where it was read before`() throws {
    let runs = [
      PagemapRun(address: 0x10_000, pageCount: 2, flags: .present),
      PagemapRun(address: 0x12_000, pageCount: 1, flags: .parent),
      PagemapRun(address: 0x14_000, pageCount: 1, flags: .lazy),
      PagemapRun(address: 0x15_000, pageCount: 2, flags: [.present, .lazy]),
    ]
    let had: Set<UInt64> = [0x10_000, 0x11_000, 0x12_000, 0x15_000, 0x16_000]
    let directory = try TemporaryDirectory()
    try Images.publish(runs, pid: 1, pagesID: 1, at: directory.path)
    let images = try ImagesDirectory(path: directory.path)
    for step in UInt64(1)...8 {
      guard let coverage = try PagemapCoverage.open(pid: 1, in: images),
        var ranges = try CoveredRanges(coverage)
      else {
        Issue.record("there is a pagemap, and few ranges")
        return
      }
      var position: UInt64 = 0xe000
      while position < 0x19_000 {
        let (isCovered, end) = ranges.next(in: position..<min(0x19_000, position + step << 12))
        for page in stride(from: position, to: end, by: 4096) {
          #expect(had.contains(page) == isCovered, "0x\(String(page, radix: 16))")
        }
        #expect(end > position)
        position = end
      }
    }
  }

  @Test func `keeps no more ranges than there is room for`() throws {
    func areKept(_ count: Int) throws -> Bool {
      let directory = try TemporaryDirectory()
      let runs = (0..<count).map {
        PagemapRun(address: 0x10_000 + 0x2000 * UInt64($0), pageCount: 1, flags: .present)
      }
      try Images.publish(runs, pid: 1, pagesID: 1, at: directory.path)
      let images = try ImagesDirectory(path: directory.path)
      guard let coverage = try PagemapCoverage.open(pid: 1, in: images) else { return false }
      return try CoveredRanges(coverage) != nil
    }
    #expect(try areKept(CoveredRanges.most))
    #expect(try !areKept(CoveredRanges.most + 1))
  }

  @Test func `goes on where it stopped`() throws {
    let runs = [PagemapRun(address: 0x10_000, pageCount: 16, flags: .present)]
    let ranges: [Range<UInt64>] = [
      0x1000..<0x2000, 0x11_000..<0x12_000, 0x12_000..<0x13_000, 0x1f_000..<0x22_000,
    ]
    #expect(try answers(of: runs, to: ranges).map(\.isCovered) == [false, true, true, true, false])
  }

  @Test func `refuses entries that overlap or leave the address space`() throws {
    for entries in [
      [[(1, 0x3000), (2, 2), (4, 4)], [(1, 0x4000), (2, 1), (4, 4)]],
      [[(1, 0x3000), (2, 1), (4, 4)], [(1, 0x1000), (2, 1), (4, 4)]],
      [[(1, 0x1000), (2, 0), (4, 4), (5, UInt64.max)]],
      [[(1, UInt64.max - 4095), (2, 1), (4, 4)]],
    ] as [[[(number: UInt8, value: UInt64)]]] {
      let directory = try TemporaryDirectory()
      try directory.write(WireFormat.pagemap(entries: entries), to: "pagemap-1.img")
      let images = try ImagesDirectory(path: directory.path)
      #expect(throws: ImagesError.self) {
        guard var coverage = try PagemapCoverage.open(pid: 1, in: images) else { return }
        _ = try coverage.next(in: 0..<UInt64.max)
        _ = try coverage.next(in: UInt64.max - 1..<UInt64.max)
      }
    }
  }
}
