internal import CSluiceLinux
import Glibc

/// Whether devices may be writing into the memory of a process while its threads stand still.
///
/// A thread that waits for a read from a disk does not stand before it has come. But reads by libaio and io_uring go on
/// while nobody waits for them.
public struct DeviceWrites: Sendable {
  /// Whether the process has what it takes.
  public let mayBeUnderWay: Bool

  /// How long such a read may take.
  private static let waitMicroseconds: UInt32 = 100_000

  /// - Throws: `TargetError` when the process has ended.
  public init(into process: TargetProcess) throws(TargetError) {
    if unsafe sluice_has_descriptor(process.pid, "anon_inode:[io_uring]") {
      mayBeUnderWay = true
      return
    }
    var map = MemoryMap(of: process)
    while let vma = try map.next() {
      guard vma.name.hasPrefix("/[aio]") else { continue }
      mayBeUnderWay = true
      return
    }
    mayBeUnderWay = false
  }

  /// Gives what is under way the time to end.
  public static func wait() {
    usleep(waitMicroseconds)
  }
}
