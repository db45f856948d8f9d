internal import CSluiceLinux
import Glibc

/// The writes of devices into the memory of processes whose threads are stopped.
///
/// A thread that waits for a read from a disk does not stop before the read has ended. But reads by libaio and io_uring
/// go on while no thread waits for them.
public struct AsyncIOQuiescence: Sendable {
  /// Whether one of the processes has what it takes.
  private let areUnderWay: Bool
  private let rings: [IoUrings]
  /// Those of each process, by its pid.
  private let ringsOf: [Int32: IoUrings]

  /// How long such a read may take.
  private static let quietNanoseconds: UInt64 = 100_000_000
  /// Somebody else may go on filling a queue that nobody of the processes empties.
  private static let longestNanoseconds: UInt64 = 2_000_000_000
  private static let lookMicroseconds: UInt32 = 5000

  /// - Throws: `TargetError` when one of the processes has ended.
  public init(into processes: [TargetProcess]) throws(TargetError) {
    var ringsOf: [Int32: IoUrings] = [:]
    for process in processes { ringsOf[process.pid] = try IoUrings(of: process) }
    self.ringsOf = ringsOf
    rings = ringsOf.values.filter { !$0.isEmpty }
    var areUnderWay = !rings.isEmpty
    for process in processes where !areUnderWay { areUnderWay = try Self.hasAsynchronousReads(process) }
    self.areUnderWay = areUnderWay
  }

  /// Those that a process has open; nil for one that was not looked at.
  func rings(of process: TargetProcess) -> IoUrings? { ringsOf[process.pid] }

  private static func hasAsynchronousReads(_ process: TargetProcess) throws(TargetError) -> Bool {
    var map = MemoryMap(of: process)
    while let vma = try map.next() {
      if vma.name.hasPrefix("/[aio]") { return true }
    }
    return false
  }

  /// Gives what is under way the time to end: as long as io_urings tell of reads that have come, and for a tenth of a
  /// second more. Returns at once where there is nothing.
  ///
  /// - Parameter lease: of the stop.
  /// - Throws: `TargetError` when our task was cancelled, or the time is over.
  public func wait(_ lease: StopLease) throws(TargetError) {
    guard areUnderWay else { return }
    let began = sluice_monotonic_nanoseconds()
    var (completed, quietSince) = (completions, began)
    while true {
      try lease.check()
      usleep(Self.lookMicroseconds)
      let (now, looked) = (sluice_monotonic_nanoseconds(), completions)
      if looked != completed { (completed, quietSince) = (looked, now) }
      if now - quietSince >= Self.quietNanoseconds || now - began >= Self.longestNanoseconds { return }
    }
  }

  /// How much the io_urings of the processes have completed ever, modulo 2^32.
  private var completions: UInt32 { rings.reduce(0) { $0 &+ Self.completions(of: $1) } }

  /// The same of the io_urings of one process.
  static func completions(of rings: IoUrings) -> UInt32 {
    rings.texts.reduce(0) { $0 &+ completions(in: $1) }
  }

  /// What the kernel says of that: io_uring/fdinfo.c writes "CachedCqTail:\t17".
  static func completions(in text: String) -> UInt32 {
    for line in text.split(separator: "\n") where line.hasPrefix("CachedCqTail:") {
      return line.split(separator: "\t").last.flatMap { UInt32($0) } ?? 0
    }
    return 0
  }
}
