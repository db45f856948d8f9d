internal import SluiceSystem

/// What decides whether a process has a core, and which memory it wants in one.
extension TargetProcess {
  /// Whether the program that the process executes is one of 64 bits: the fifth byte of its file says so (ELFCLASS64).
  ///
  /// - Throws: `TargetError` when the file cannot be read.
  public func isOf64Bits() throws(TargetError) -> Bool {
    do throws(ProcFile.OpenFailed) {
      let head = try ProcFile(path: "/proc/\(pid)/exe").bytes(atMost: 5)
      return head.count == 5 && head[4] == 2
    } catch {
      throw failure(of: "reading the program", errno: error.errno)
    }
  }

  /// Which kinds of memory the process wants in a core, as bits: core(5). Nil where the kernel writes no cores.
  ///
  /// - Throws: `TargetError` when the process is gone.
  public func coredumpFilter() throws(TargetError) -> UInt32? {
    do throws(ProcFile.OpenFailed) {
      let text = try ProcFile.text(ofFileAt: "/proc/\(pid)/coredump_filter")
      return UInt32(text.prefix { !$0.isWhitespace }, radix: 16)
    } catch {
      if error.errno.name == "ENOENT", lives { return nil }
      throw failure(of: "reading coredump_filter", errno: error.errno)
    }
  }
}
