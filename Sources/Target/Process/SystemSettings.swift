internal import CSluiceLinux
import Glibc

/// The settings below /proc/sys.
enum SystemSettings {
  /// The text of one of them, by its path below /proc/sys. Where our /proc is mounted without them (subset=pid), they are
  /// looked for in a mount of our own, which nobody else sees; that takes CAP_SYS_ADMIN.
  ///
  /// - Returns: nil where the kernel has no such setting.
  /// - Throws: the errno of the open; of the first attempt where there can be no mount of our own.
  static func text(_ name: String) throws(ProcFile.OpenFailed) -> String? {
    do throws(ProcFile.OpenFailed) {
      return try ProcFile.text(ofFileAt: "/proc/sys/\(name)")
    } catch {
      guard error.errno.code == ENOENT else { throw error }
      if areMounted { return nil }
      let mount = sluice_own_proc()
      guard mount >= 0 else { throw error }
      let root = ProcFile(adopting: mount)
      do throws(ProcFile.OpenFailed) {
        return try ProcFile.text(ofFileAt: "sys/\(name)", in: root.descriptor)
      } catch {
        guard error.errno.code == ENOENT else { throw error }
        return nil
      }
    }
  }

  /// Whether /proc has settings at all.
  private static var areMounted: Bool { unsafe access("/proc/sys", F_OK) == 0 }
}
