internal import CSluiceLinux
import Glibc

/// The time since the machine started, as CRIU notes it in its inventory.
public enum Uptime {
  /// The clock ticks in a second that /proc/PID/stat counts in (sysconf(_SC_CLK_TCK)).
  public static var ticksPerSecond: UInt64 { UInt64(sluice_clock_ticks_per_second()) }

  /// What tells this start of the machine from all others: /proc/sys/kernel/random/boot_id.
  ///
  /// - Throws: `TargetError` when it cannot be read.
  public static func bootID() throws(TargetError) -> String {
    do throws(ProcFile.OpenFailed) {
      guard let text = try SystemSettings.text("kernel/random/boot_id") else {
        throw ProcFile.OpenFailed(errno: SystemErrno(code: ENOENT))
      }
      return String(text.prefix(while: { $0 != "\n" }))
    } catch {
      throw TargetError(
        .systemCall,
        "reading /proc/sys/kernel/random/boot_id, which identifies this start of the machine: mount /proc"
          + " without subset=pid",
        errno: error.errno)
    }
  }

  /// Microseconds since boot, to 10 ms, as the first number of /proc/uptime has it: CRIU compares a process' start time
  /// with that. By the clock, since a /proc that is mounted with subset=pid has no such file.
  ///
  /// Both numbers are moved by the offset of the *reader's* time namespace: time_namespaces(7).
  public static func microseconds() -> UInt64 {
    sluice_boottime_nanoseconds() / 10_000_000 * 10_000
  }

  /// How many clock ticks our time namespace is ahead of the machine's own: start times that are to be compared in another
  /// one are kept without. 0 where that is not known.
  ///
  /// - Throws: `TargetError` when the kernel has time namespaces, and does not tell.
  static func namespaceTicks() throws(TargetError) -> Int64 {
    // What is told is of the namespace that our children would be in.
    guard namespace("time") == namespace("time_for_children") else { return 0 }
    let path = "/proc/self/timens_offsets"
    do throws(ProcFile.OpenFailed) {
      let text = try ProcFile.text(ofFileAt: path)
      return ticks(inOffsets: text, ticksPerSecond: Int64(ticksPerSecond))
    } catch {
      guard error.errno.code == ENOENT else {
        throw TargetError(.systemCall, "reading \(path)", errno: error.errno)
      }
      return 0
    }
  }

  /// The offset of CLOCK_BOOTTIME in the text of /proc/PID/timens_offsets: its name, seconds and nanoseconds.
  static func ticks(inOffsets text: String, ticksPerSecond: Int64) -> Int64 {
    for line in text.split(separator: "\n") {
      let fields = line.split(separator: " ")
      guard fields.count == 3, fields[0] == "boottime" || fields[0] == "7", let seconds = Int64(fields[1]),
        let nanoseconds = Int64(fields[2])
      else { continue }
      return seconds * ticksPerSecond + nanoseconds / (1_000_000_000 / ticksPerSecond)
    }
    return 0
  }

  private static func namespace(_ name: String) -> ino_t? {
    var status = stat()
    return unsafe stat("/proc/self/ns/\(name)", &status) == 0 ? status.st_ino : nil
  }
}
