import Testing

@testable import SluiceImages

@Suite struct DumpStatisticsTests {
  /// 8 irmap_resolve, 9 pages_lazy, 10 page_pipes, 11 page_pipe_bufs, and 12 to 14 of shared memory.
  private static let zeros: [UInt8] = [0x40, 0, 0x48, 0, 0x50, 0, 0x58, 0, 0x60, 0, 0x68, 0, 0x70, 0]

  /// Derived by hand from CRIU's stats.proto: in field 1 a dump_stats_entry with fields 1 to 14, all of which
  /// CRIU writes.
  @Test func `is these bytes`() {
    var statistics = DumpStatistics()
    statistics.freezingMicroseconds = 1
    statistics.frozenMicroseconds = 2
    statistics.collectingMicroseconds = 3
    statistics.writingMicroseconds = 300
    statistics.pagesScanned = 5
    statistics.pagesSkippedParent = 6
    statistics.pagesWritten = 1 << 32
    let dump: [UInt8] =
      [0x08, 1, 0x10, 2, 0x18, 3, 0x20, 0xac, 0x02, 0x28, 5, 0x30, 6]
      + [0x38, 0x80, 0x80, 0x80, 0x80, 0x10] + Self.zeros
    #expect(
      statistics.encoded()
        == [0x40, 0x59, 0x10, 0x55, 0x06, 0x33, 0x09, 0x57, 35, 0, 0, 0, 0x0a, 33] + dump)
  }

  @Test func `figures of 0 are written, since CRIU requires them`() {
    #expect(
      DumpStatistics().encoded()
        == [0x40, 0x59, 0x10, 0x55, 0x06, 0x33, 0x09, 0x57, 30, 0, 0, 0, 0x0a, 28]
        + [0x08, 0, 0x10, 0, 0x18, 0, 0x20, 0, 0x28, 0, 0x30, 0, 0x38, 0] + Self.zeros)
  }

  @Test func `the largest figures fit`() {
    var statistics = DumpStatistics()
    statistics.freezingMicroseconds = .max
    statistics.pagesWritten = .max
    let bytes = statistics.encoded()
    #expect(bytes[14...].starts(with: [0x08, 0xff, 0xff, 0xff, 0xff, 0x0f, 0x10]))
    #expect(Array(bytes.suffix(25)) == [0x38] + [UInt8](repeating: 0xff, count: 9) + [0x01] + Self.zeros)
  }
}
