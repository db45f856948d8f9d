internal import CSluiceLinux
import Glibc

/// The kernel's soft-dirty bit, the one tracker of writes that CRIU's final dump understands:
/// Documentation/admin-guide/mm/soft-dirty.rst.
public enum SoftDirty {
  /// Whether this kernel keeps the bit, tried with a real write: on kernels without it, clearing
  /// "succeeds" and does nothing.
  ///
  /// - Throws: `TargetError` when it cannot be tried.
  public static func isSupported() throws(TargetError) -> Bool {
    let result = sluice_soft_dirty_works()
    guard result >= 0 else {
      throw TargetError(.systemCall, "trying the soft-dirty bit", errno: SystemErrno(returned: result))
    }
    return result == 1
  }

  /// Makes sure that `clear` is permitted, and clears nothing.
  ///
  /// - Throws: `TargetError`, as `clear` would.
  public static func checkMayClear(_ process: TargetProcess) throws(TargetError) {
    try withClearRefs(of: process) { (_) throws(ProcFile.OpenFailed) in }
  }

  /// Forgets which pages were written: from now on those that are written again become dirty.
  ///
  /// The kernel holds the process' mmap_lock for this, for a time that grows with its memory.
  ///
  /// - Returns: how long it took, in nanoseconds.
  /// - Throws: `TargetError` when the kernel refuses; nothing is cleared then.
  public static func clear(_ process: TargetProcess) throws(TargetError) -> UInt64 {
    let began = sluice_monotonic_nanoseconds()
    try withClearRefs(of: process) { (file) throws(ProcFile.OpenFailed) in
      let result = unsafe sluice_write(file.descriptor, "4", 1)
      guard result == 1 else { throw ProcFile.OpenFailed(errno: SystemErrno(returned: result)) }
    }
    return sluice_monotonic_nanoseconds() - began
  }

  private static func withClearRefs(
    of process: TargetProcess, _ body: (borrowing ProcFile) throws(ProcFile.OpenFailed) -> Void
  ) throws(TargetError) {
    let path = "/proc/\(process.pid)/clear_refs"
    do throws(ProcFile.OpenFailed) {
      try body(try ProcFile(path: path, access: .write))
    } catch {
      switch error.errno.code {
      case ENOENT, ESRCH: throw TargetProcess.ended(process.pid)
      case EACCES, EPERM:
        throw TargetError(
          .notPermitted,
          "clearing the dirty bits of process \(process.pid) is not permitted: it takes the same user or root",
          errno: error.errno)
      default: throw TargetError(.systemCall, "writing \(path)", errno: error.errno)
      }
    }
  }
}

/// The time since the machine started, as CRIU notes it in its inventory.
public enum Uptime {
  /// The clock ticks in a second that /proc/PID/stat counts in (sysconf(_SC_CLK_TCK)).
  public static var ticksPerSecond: UInt64 { UInt64(sluice_clock_ticks_per_second()) }

  /// What tells this start of the machine from all others: /proc/sys/kernel/random/boot_id.
  ///
  /// - Throws: `TargetError` when it cannot be read.
  public static func bootID() throws(TargetError) -> String {
    do throws(ProcFile.OpenFailed) {
      let text = try ProcFile.text(ofFileAt: "/proc/sys/kernel/random/boot_id")
      return String(text.prefix(while: { $0 != "\n" }))
    } catch {
      throw TargetError(.systemCall, "reading /proc/sys/kernel/random/boot_id", errno: error.errno)
    }
  }

  /// Microseconds since boot, to 10 ms: the first number of /proc/uptime, which is what CRIU compares a
  /// process' start time with.
  ///
  /// - Throws: `TargetError` when /proc/uptime cannot be read.
  public static func microseconds() throws(TargetError) -> UInt64 {
    let text: String
    do throws(ProcFile.OpenFailed) {
      text = try ProcFile.text(ofFileAt: "/proc/uptime")
    } catch {
      throw TargetError(.systemCall, "reading /proc/uptime", errno: error.errno)
    }
    let parts = text.prefix(while: { $0 != " " }).split(separator: ".")
    guard parts.count == 2, parts[1].count == 2, let seconds = UInt64(parts[0]),
      let hundredths = UInt64(parts[1])
    else {
      throw TargetError(.systemCall, "/proc/uptime is not in the kernel's form")
    }
    return seconds * 1_000_000 + hundredths * 10_000
  }
}
