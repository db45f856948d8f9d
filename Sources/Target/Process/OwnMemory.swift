internal import Glibc

/// The memory that this program takes.
public enum OwnMemory {
  /// The most it has taken so far, in bytes; nil where the kernel does not tell.
  ///
  /// VmHWM and not ru_maxrss: the latter is inherited from a big parent.
  public static var peakBytes: UInt64? {
    guard let lines = try? StatusLines(ofProcessAt: "/proc/self"), lines.words("VmHWM") != nil else {
      return nil
    }
    return lines.bytes("VmHWM")
  }

  /// What a limit on its address space (RLIMIT_AS) leaves, in bytes; nil where there is no limit, or the kernel does not tell.
  public static var addressesLeft: UInt64? {
    var limit = rlimit()
    guard unsafe getrlimit(Int32(RLIMIT_AS.rawValue), &limit) == 0, limit.rlim_cur < UInt64(Int64.max),
      let lines = try? StatusLines(ofProcessAt: "/proc/self"), lines.words("VmSize") != nil
    else { return nil }
    let (left, isOver) = UInt64(limit.rlim_cur).subtractingReportingOverflow(lines.bytes("VmSize"))
    return isOver ? 0 : left
  }
}
