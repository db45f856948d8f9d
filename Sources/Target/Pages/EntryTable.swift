internal import CSluiceLinux
import Glibc
internal import SluiceSystem

/// Some entries of /proc/PID/pagemap, in memory that is there before.
struct EntryTable: Sendable {
  private var entries: [UInt64]
  private let pageSize = UInt64(sluice_page_size())

  /// - Parameter capacity: how many entries are read at a time.
  init(capacity: Int) {
    entries = [UInt64](repeating: 0, count: capacity)
  }

  /// The entry of a page, by its place in the range that was read last.
  subscript(index: Int) -> UInt64 { entries[index] }

  /// Reads the entries of the first pages of a range.
  ///
  /// - Parameter doing: what the error says that this is.
  /// - Returns: how many entries there are now, one at least.
  /// - Throws: `TargetError` when the memory is gone or the kernel refuses.
  mutating func read(
    _ range: Range<UInt64>, of process: TargetProcess, doing: String
  ) throws(TargetError) -> Int {
    let size = UInt64(MemoryLayout<UInt64>.size)
    let wanted = min((range.upperBound - range.lowerBound) / pageSize, UInt64(entries.count)) * size
    let (descriptor, offset) = (process.pagemap.descriptor, range.lowerBound / pageSize * size)
    let count = unsafe entries.withUnsafeMutableBytes {
      unsafe sluice_pread(descriptor, $0.baseAddress, Int(wanted), offset)
    }
    // 0 bytes: the memory itself is gone.
    guard count >= Int(size) else {
      let errno = count < 0 ? SystemErrno(returned: count) : SystemErrno(code: ESRCH)
      throw process.failure(of: doing, errno: errno)
    }
    return count / Int(size)
  }

  /// The place of the first entry that has one of some bits, from one on; `count` where none has.
  func first(with bits: UInt64, from index: Int, of count: Int) -> Int {
    unsafe entries.withUnsafeBufferPointer {
      unsafe index + sluice_first_with(bits, $0.baseAddress! + index, count - index)
    }
  }
}
