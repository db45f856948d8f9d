import Testing

@testable import sluice

@Suite("Byte count", .timeLimit(.minutes(15)))
struct ByteCountTests {
  static let sizes: [(text: String, bytes: Int)] = [
    ("0", 0), ("1", 1), ("1048576", 1 << 20), ("5B", 5), ("1K", 1 << 10), ("1k", 1 << 10), ("1KiB", 1 << 10),
    ("3M", 3 << 20), ("3MiB", 3 << 20), ("3mib", 3 << 20), ("2G", 2 << 30), ("2GiB", 2 << 30),
    ("16Mi", 16 << 20), ("16mi", 16 << 20), ("512Ki", 512 << 10), ("2Gi", 2 << 30), ("1Ti", 1 << 40),
    ("64MB", 64 << 20), ("1GB", 1 << 30), ("2T", 2 << 40), ("1.5G", 3 << 29), ("0.5KiB", 512),
    ("1.25Mi", 5 << 18),
    ("1.000001K", 1024), ("007M", 7 << 20), ("8589934591G", 8_589_934_591 << 30),
    ("9223372036854775807", Int.max),
  ]

  @Test(arguments: sizes)
  func readsASize(text: String, bytes: Int) {
    #expect(ByteCount(argument: text)?.bytes == bytes)
  }

  @Test(arguments: [
    "", " ", "M", "KiB", "-1", "-1M", "+1", "1.5", "1.5B", ".5M", "1.M", "1.5.5M", "1.0000001M", "1,5M",
    "64 M",
    " 64M", "64M ", "64X", "64MM", "64iM", "8388608T", "8589934591.9Ti",
    "0x10",
    "1e6", "8589934592G", "9223372036854775808", "99999999999999999999", "٣M", "M64",
  ])
  func refusesNonsense(text: String) {
    #expect(ByteCount(argument: text) == nil)
  }

  static let texts: [(bytes: Int, text: String)] = [
    (0, "0 B"), (1, "1 B"), (1023, "1023 B"), (1024, "1 KiB"), (1536, "1.5 KiB"), (1 << 20, "1 MiB"),
    (64 << 20, "64 MiB"), ((1 << 30) + (1 << 29), "1.5 GiB"), (1 << 40, "1 TiB"), (1 << 50, "1024 TiB"),
    (1100, "1.1 KiB"), ((1 << 20) - 1, "1.0 MiB"), ((1 << 30) - 1, "1.0 GiB"),
  ]

  @Test(arguments: texts)
  func isWrittenInTheLargestFittingUnit(bytes: Int, text: String) {
    #expect(ByteCount.text(bytes) == text)
  }
}
