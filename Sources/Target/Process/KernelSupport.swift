public import CSluiceLinux
import Glibc
internal import SluiceSystem

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
    Answer(sluice_write_protect_works())
  }

  /// Whether a probe on a program (uprobe) that is set or removed leaves no soft-dirty bit: before Linux 6.16 another page
  /// is put in the place of that of the code (__replace_page of kernel/events/uprobes.c).
  public static var probesHideWrites: Bool { sluice_kernel_is_at_least(6, 16) != 1 }

  /// Whether it lets us read what a process itself may not read, by /proc/PID/mem. From Linux 6.12 on it may be built or
  /// booted not to: `RemoteMemory`.
  public static func hiddenMemory() -> Answer {
    Answer(sluice_reads_hidden_memory())
  }
}

extension KernelSupport.Answer {
  /// What a C function of ours has returned: 1, 0 or -errno.
  fileprivate init(_ result: Int32) {
    switch result {
    case 1: self = .yes
    case 0: self = .no
    default: self = .refused(SystemErrno(returned: result))
    }
  }
}
