internal import CSluiceLinux

/// The state of a read of many runs: the runs that were got, at the start of the table, and those that are left to
/// read, behind them.
///
/// The two never meet: every part that was got has a page at least, and the table has a place for each
/// page of the buffer.
@safe
struct Reading: ~Copyable {
  var outcome = RemoteMemory.Outcome()
  private let table: UnsafeMutableBufferPointer<MemoryRun>
  private let bytes: UnsafeMutableRawBufferPointer
  private let pageSize: UInt64
  /// The first run that is not yet read to its end, and the one after the last.
  private var unread: Range<Int>

  init(
    table: UnsafeMutableBufferPointer<MemoryRun>, runCount: Int, bytes: UnsafeMutableRawBufferPointer,
    pageSize: UInt64, standsStill: Bool = false
  ) {
    mostRunsPerBatch = standsStill ? Int(SLUICE_MAX_RUNS) : Self.fewRunsPerBatch
    unsafe self.table = table
    unsafe self.bytes = bytes
    self.pageSize = pageSize
    unread = 0..<runCount
  }

  var isUnfinished: Bool { !unread.isEmpty }
  var current: MemoryRun { unsafe table[unread.lowerBound] }
  /// Where the next bytes go, and how many may.
  var destination: UnsafeMutableRawPointer { unsafe bytes.baseAddress! + outcome.byteCount }
  var room: Int { unsafe bytes.count - outcome.byteCount }

  /// The kernel takes SLUICE_MAX_RUNS; but it takes the mmap_lock anew for each run, and between two there is no time
  /// for anybody else: see MmapLockPacer. A call of so many takes half a millisecond at most.
  private static let fewRunsPerBatch = 64
  /// As many as that, unless nobody runs who might wait for the lock.
  private let mostRunsPerBatch: Int

  /// The runs that one process_vm_readv is asked for.
  @safe
  struct Batch {
    let runs: UnsafePointer<MemoryRun>
    let count: Int
    let byteCount: Int
  }

  var nextBatch: Batch {
    let count = min(unread.count, mostRunsPerBatch)
    let first = unread.lowerBound
    let byteCount = unsafe table[first..<first + count].reduce(0) { $0 + Int($1.length) }
    return unsafe Batch(
      runs: UnsafePointer(table.baseAddress! + first), count: count, byteCount: byteCount)
  }

  /// Records that the next `count` bytes were read; of a page that was not read to its end, nothing.
  ///
  /// - Returns: the bytes that were recorded.
  @discardableResult
  mutating func keep(_ count: UInt64) -> UInt64 {
    let kept = count / pageSize * pageSize
    var left = kept
    while left > 0 {
      let part = MemoryRun(address: current.address, length: min(left, current.length))
      left -= part.length
      advance(by: part.length)
      let last = outcome.runCount - 1
      if last >= 0, unsafe table[last].address + table[last].length == part.address {
        unsafe table[last] = MemoryRun(address: table[last].address, length: table[last].length + part.length)
      } else {
        if outcome.runCount == unread.lowerBound { shiftUnread() }
        unsafe table[outcome.runCount] = part
        outcome.runCount += 1
      }
      outcome.byteCount += Int(part.length)
    }
    return kept
  }

  /// Records that nothing is there any more from the current address up to `end`, or the run's end.
  mutating func skip(upTo end: UInt64) {
    let count = min(end - current.address, current.length)
    outcome.vanishedBytes += count
    advance(by: count)
  }

  private mutating func advance(by count: UInt64) {
    let (first, run) = (unread.lowerBound, current)
    // A whole run is stored, here and in `keep`: of a change to one field, the compiler (Swift 6.3) makes
    // invalid code under ThreadSanitizer.
    unsafe table[first] = MemoryRun(address: run.address + count, length: run.length - count)
    if run.length == count { unread = first + 1..<unread.upperBound }
  }

  /// Moves what is unread by one place, to make room for the first part of a run that a hole has cut.
  private mutating func shiftUnread() {
    for index in unread.reversed() { unsafe table[index + 1] = table[index] }
    unread = unread.lowerBound + 1..<unread.upperBound + 1
  }
}
