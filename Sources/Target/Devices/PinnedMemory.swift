internal import CSluiceLinux
import Glibc

/// The memory of a process that is pinned for long: devices write into it whenever they like, and no page table tells.
struct PinnedMemory: Sendable {
  /// Where it is, in address order, without overlaps.
  let ranges: [Range<UInt64>]
  /// Whether all of it was found. The kernel tells how much there is, and where the buffers registered with an io_uring
  /// are; of others, such as those of RDMA, it does not tell where. How much there is need not include the
  /// buffers: Linux 7.3 leaves out those that root has registered.
  let isKnown: Bool

  /// Nothing is pinned.
  static let none = PinnedMemory(ranges: [], isKnown: true)

  init(ranges: [Range<UInt64>], isKnown: Bool) {
    self.ranges = ranges
    self.isKnown = isKnown
  }

  /// - Parameter known: the io_urings of the process, where it was stopped when they were looked for; nil looks for them.
  /// - Throws: `TargetError` when the process has ended.
  init(of process: TargetProcess, rings known: IoUrings? = nil) throws(TargetError) {
    let pinned: UInt64
    do throws(ProcFile.OpenFailed) {
      pinned = try StatusLines(ofProcessAt: "/proc/\(process.pid)").bytes("VmPin")
    } catch {
      throw process.failure(of: "reading /proc/\(process.pid)/status", errno: error.errno)
    }
    // Optional chaining cannot throw a typed error.
    let rings: IoUrings
    if let known { rings = known } else { rings = try IoUrings(of: process) }
    var buffers: [Range<UInt64>] = []
    var silent = rings.descriptors
    for attempt in 0..<Self.mostAttempts where !silent.isEmpty {
      if attempt > 0 { usleep(Self.pauseMicroseconds) }
      silent.removeAll { ring in
        guard let told = rings.text(of: ring).flatMap({ Self.ringBuffers(in: $0) }) else { return false }
        buffers += told
        return true
      }
    }
    let ranges = Self.joined(buffers, pageSize: UInt64(sluice_page_size()))
    self.init(
      ranges: ranges, isKnown: silent.isEmpty && ranges.reduce(0, { $0 + UInt64($1.count) }) >= pinned)
  }

  /// An io_uring that is busy at that moment tells nothing (io_uring/fdinfo.c only tries to take its lock).
  private static let mostAttempts = 20
  private static let pauseMicroseconds: UInt32 = 500

  /// Those that an io_uring's file of /proc/PID/fdinfo lists: io_uring/fdinfo.c writes "    0: 0x7f0000000000/4096", and
  /// since Linux 6.13 "    0: <none>" for a place that is not taken.
  ///
  /// - Returns: nil where the list is not there, or not all of it.
  static func ringBuffers(in text: String) -> [Range<UInt64>]? {
    var buffers: [Range<UInt64>] = []
    // How many are still to come, once it is known.
    var left: Int?
    for line in text.split(separator: "\n") {
      guard let count = left else {
        if line.hasPrefix("UserBufs:") { left = line.split(separator: "\t").last.flatMap { Int($0) } }
        continue
      }
      guard count > 0 else { break }
      left = count - 1
      if line.hasSuffix(": <none>") { continue }
      guard let buffer = buffer(in: line) else { return nil }
      if !buffer.isEmpty { buffers.append(buffer) }
    }
    return left == 0 ? buffers : nil
  }

  private static func buffer(in line: Substring) -> Range<UInt64>? {
    let parts = line.split(separator: " ")
    guard parts.count == 2, parts[0].hasSuffix(":"), parts[1].hasPrefix("0x") else { return nil }
    let numbers = parts[1].dropFirst(2).split(separator: "/")
    guard numbers.count == 2, let start = UInt64(numbers[0], radix: 16), let length = UInt64(numbers[1])
    else { return nil }
    let (end, isTooLarge) = start.addingReportingOverflow(length)
    return isTooLarge ? nil : start..<end
  }

  /// Whole pages, in address order.
  static func joined(_ ranges: [Range<UInt64>], pageSize: UInt64) -> [Range<UInt64>] {
    var joined: [Range<UInt64>] = []
    for range in ranges.sorted(by: { $0.lowerBound < $1.lowerBound }) {
      let start = range.lowerBound / pageSize * pageSize
      let end = (range.upperBound + pageSize - 1) / pageSize * pageSize
      if let last = joined.last, last.upperBound >= start {
        joined[joined.count - 1] = last.lowerBound..<max(last.upperBound, end)
      } else {
        joined.append(start..<end)
      }
    }
    return joined
  }

  /// Tells of which addresses are pinned, in one pass upwards.
  var cursor: Cursor { Cursor(of: self) }

  /// Tells of which addresses are pinned, in one pass upwards.
  struct Cursor {
    private let pinned: PinnedMemory
    private var index = 0

    fileprivate init(of pinned: PinnedMemory) {
      self.pinned = pinned
    }

    /// Whether the start of a range is pinned, or may be since not all pinned memory was found, and up to where that
    /// holds.
    ///
    /// - Parameter range: not empty; begins no lower than the end of the answer before.
    mutating func next(in range: Range<UInt64>) -> (isPinned: Bool, end: UInt64) {
      guard pinned.isKnown else { return (true, range.upperBound) }
      while index < pinned.ranges.count, pinned.ranges[index].upperBound <= range.lowerBound { index += 1 }
      guard index < pinned.ranges.count, pinned.ranges[index].lowerBound < range.upperBound else {
        return (false, range.upperBound)
      }
      let found = pinned.ranges[index]
      guard found.lowerBound <= range.lowerBound else { return (false, found.lowerBound) }
      return (true, min(found.upperBound, range.upperBound))
    }
  }
}
