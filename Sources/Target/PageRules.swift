/// What becomes of a mapping in a pre-dump: CRIU's rules, since its final dump asks the parent for the
/// pages that these rules say are in it.
public enum VMATreatment: Hashable, Sendable {
  /// Take the pages that hold data of the process' own.
  case take
  /// Take every page, whatever the page table says: the vdso, which later dumps always find clean.
  case takeWhole
  case skip(SkipReason)
}

/// Why a mapping is left out.
public enum SkipReason: String, Hashable, Sendable, CaseIterable {
  /// Shared memory and shared files: CRIU dumps them at the end, never from a parent.
  case shared
  /// Pages that the kernel itself provides and that differ from machine to machine (vvar, vsyscall, uprobes).
  case kernel
  /// Huge pages of hugetlbfs: restoring them through a parent does not end (criu issue 1868).
  case hugetlb
  /// The ring of asynchronous I/O: the final dump writes it in full.
  case aio
  /// Memory of a device.
  case device
}

extension VMA {
  /// How this mapping is treated.
  public var treatment: VMATreatment {
    switch name {
    case "[vdso]": return .takeWhole
    case "[vvar]", "[vvar_vclock]", "[vsyscall]", "[uprobes]": return .skip(.kernel)
    default: break
    }
    // The kernel names the ring by this path; its mapping is shared, but the reason is worth telling apart.
    if name.hasPrefix("/[aio]") { return .skip(.aio) }
    if isShared { return .skip(.shared) }
    if name.hasPrefix("/anon_hugepage") || name.hasPrefix("/memfd:hugetlb") { return .skip(.hugetlb) }
    // Private mappings of /dev/zero and of files in /dev/shm are ordinary memory.
    if name.hasPrefix("/dev/"), !name.hasPrefix("/dev/zero"), !name.hasPrefix("/dev/shm/") {
      return .skip(.device)
    }
    return .take
  }
}
