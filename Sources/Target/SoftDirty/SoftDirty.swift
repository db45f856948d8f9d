internal import CSluiceLinux
import Glibc
internal import SluiceSystem

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
          "clearing the soft-dirty bits of process \(process.pid) is not permitted: run sluice as root or as the same user",
          errno: error.errno)
      default: throw TargetError(.systemCall, "writing \(path)", errno: error.errno)
      }
    }
  }
}
