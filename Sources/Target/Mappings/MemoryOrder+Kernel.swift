internal import CSluiceLinux
import Glibc

extension MemoryOrder.Answer {
  /// What the kernel says of the memories of two processes.
  init(comparing one: Int32, with other: Int32) {
    self =
      switch sluice_compare_memory(one, other) {
      case 0: .same
      case 1: .before
      case 2: .after
      case -ESRCH: .gone
      // EPERM: it is another user's. ENOSYS, or EPERM of a filter: nothing is told at all (CONFIG_KCMP).
      default: .untold
      }
  }
}
