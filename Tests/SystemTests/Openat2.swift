import CSluiceLinux
import Glibc

/// openat2(2) of this process, as a kernel without it has it, or a seccomp filter.
enum Openat2 {
  /// From now on it fails; 0 lets it work. What it is replaced by is called without faults.
  static func fail(with errno: Int32) {
    switch errno {
    case ENOSYS: unsafe sluice_set_fault_handler { site, _ in site == SLUICE_FAULT_OPEN ? ENOSYS : 0 }
    case EPERM: unsafe sluice_set_fault_handler { site, _ in site == SLUICE_FAULT_OPEN ? EPERM : 0 }
    default: sluice_set_fault_handler(nil)
    }
  }
}
