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
}
