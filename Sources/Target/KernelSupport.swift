public import CSluiceLinux
import Glibc

/// What this kernel can do for copying a process, tried on this very process.
public enum KernelSupport {
  /// Whether it has something.
  public enum Answer: Sendable {
    case yes
    case no
    /// It does not let us, or the trial failed.
    case refused(SystemErrno)
  }

  /// Whether it tells page states by the ioctl PAGEMAP_SCAN (Linux 6.7).
  public static func pagemapScan() -> Answer {
    do throws(ProcFile.OpenFailed) {
      return PagemapScan.offered(by: try ProcFile(path: "/proc/self/pagemap")) == nil ? .no : .yes
    } catch {
      return .refused(error.errno)
    }
  }

  /// Whether it can be asked for one mapping by the ioctl PROCMAP_QUERY (Linux 6.11).
  public static func mappingQuery() -> Answer {
    do throws(ProcFile.OpenFailed) {
      let maps = try ProcFile(path: "/proc/self/maps")
      var mapping = MappingAnswer()
      let result = unsafe sluice_next_mapping(maps.descriptor, 0, &mapping)
      if result == -ENOTTY { return .no }
      return result < 0 ? .refused(SystemErrno(returned: result)) : .yes
    } catch {
      return .refused(error.errno)
    }
  }

  /// Whether it write-protects memory asynchronously for a userfaultfd (Linux 6.7).
  public static func asynchronousWriteProtect() -> Answer {
    switch sluice_write_protect_works() {
    case 1: .yes
    case 0: .no
    case let result: .refused(SystemErrno(returned: result))
    }
  }
}
