internal import CSluiceLinux

/// Runs of pages as bytes: the gap after the run before, and the length, both in pages and seven bits to a byte, the
/// lowest first, with the eighth bit set where more follow (LEB128).
struct RunCode: Sendable {
  /// No run takes more.
  static let mostBytes = 20

  let pageSize = UInt64(sluice_page_size())

  func write(_ run: MemoryRun, after end: UInt64, to bytes: inout [UInt8], at index: inout Int) {
    write((run.address - end) / pageSize, to: &bytes, at: &index)
    write(run.length / pageSize, to: &bytes, at: &index)
  }

  private func write(_ number: UInt64, to bytes: inout [UInt8], at index: inout Int) {
    var rest = number
    while rest >= 0x80 {
      bytes[index] = UInt8(truncatingIfNeeded: rest) | 0x80
      index += 1
      rest >>= 7
    }
    bytes[index] = UInt8(rest)
    index += 1
  }

  func read(_ bytes: [UInt8], at index: inout Int, after end: UInt64) -> MemoryRun {
    let address = end + number(bytes, at: &index) * pageSize
    return MemoryRun(address: address, length: number(bytes, at: &index) * pageSize)
  }

  private func number(_ bytes: [UInt8], at index: inout Int) -> UInt64 {
    var (number, shift): (UInt64, UInt64) = (0, 0)
    while true {
      let byte = bytes[index]
      index += 1
      number |= UInt64(byte & 0x7f) << shift
      if byte < 0x80 { return number }
      shift += 7
    }
  }
}
