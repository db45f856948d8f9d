internal import CSluiceLinux

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
  /// Memory of a device, or of the kernel by way of a file that is none (an io_uring, a socket).
  case device
}

/// The rules for the mappings of one process.
///
/// Droppable memory (MAP_DROPPABLE, Linux 6.11) is taken like any other. CRIU leaves it out from 4.2 on and does
/// not ask a parent for it; before that it takes it for ordinary memory, and its final dump fails if the parent
/// has not got it. Only smaps tells such memory, which is too dear to read: see `PageScanner`.
public struct PageRules {
  private let process: TargetProcess
  private var hugetlb: HugetlbDevices

  /// The rules for this process.
  public init(for process: TargetProcess) {
    self.process = process
    hugetlb = HugetlbDevices(of: process)
  }

  /// How a mapping is treated.
  ///
  /// - Throws: `TargetError` when the memory is gone, or the kernel refuses to tell what is mapped.
  public mutating func treatment(of vma: VMA) throws(TargetError) -> VMATreatment {
    switch vma.name {
    case "[vdso]": return .takeWhole
    case "[vvar]", "[vvar_vclock]", "[vsyscall]", "[uprobes]": return .skip(.kernel)
    default: break
    }
    // The kernel names the ring by this path; its mapping is shared, but the reason is worth telling apart.
    if vma.isShared { return .skip(vma.name.hasPrefix("/[aio]") ? .aio : .shared) }
    if try hugetlb.contain(vma) { return .skip(.hugetlb) }
    return isOfDevice(vma) ? .skip(.device) : .take
  }

  /// Whether the mapping is registered for write protection with those around it, though it may not be one that is taken:
  /// it may be made longer at any moment, and where it was taken to end it would be cut in two (`RegistrableRanges`).
  ///
  /// The others have bounds that stay: huge pages that were set aside, the ring of asynchronous I/O and the memory of
  /// devices and of the kernel. Nor can shared memory be registered that nobody may ever write (EPERM: it lacks
  /// VM_MAYWRITE).
  ///
  /// - Throws: `TargetError` when the memory is gone, or the kernel refuses to tell what is mapped.
  mutating func isRegistrable(_ vma: VMA) throws(TargetError) -> Bool {
    switch try treatment(of: vma) {
    case .take: return true
    case .skip(.shared): return try !hugetlb.contain(vma) && !isOfDevice(vma) && mayBeWritten(vma)
    case .takeWhole, .skip: return false
    }
  }

  /// Whether the process may be given the right to write a mapping of shared memory. Where it was listed as something
  /// that it is no longer, nothing speaks against it.
  private func mayBeWritten(_ vma: VMA) -> Bool {
    let link = "/proc/\(process.pid)/map_files/\(Self.bounds(of: vma))"
    return unsafe vma.isWritable || sluice_link_may_be_written(link) != 0
  }

  private static func bounds(of vma: VMA) -> String {
    "\(String(vma.start, radix: 16))-\(String(vma.end, radix: 16))"
  }

  /// Whether the mapping is of something else than a file or anonymous memory.
  ///
  /// Only its reason depends on that, as a rule: device memory has no pages of the process' own, and page tables
  /// without pages (VM_PFNMAP) are not shown to us. But drivers that map other things are known.
  private func isOfDevice(_ vma: VMA) -> Bool {
    switch vma.name.first {
    case nil, "[": return false
    case "/": break
    // "anon_inode:[io_uring]", "socket:[4711]": no path leads there.
    default: return true
    }
    // The files of PCI devices' memory, which pass for regular.
    if vma.name.hasPrefix("/sys/devices/") || vma.name.hasPrefix("/proc/bus/") { return true }
    // Private mappings of /dev/zero are ordinary memory, and so are those of regular files, wherever they are.
    guard vma.name.hasPrefix("/dev/"), !vma.name.hasPrefix("/dev/zero") else { return false }
    let isRegular = unsafe sluice_is_regular_file("/proc/\(process.pid)/map_files/\(Self.bounds(of: vma))")
    // Who may not ask (it takes CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN) goes by the name.
    return isRegular < 0 ? !vma.name.hasPrefix("/dev/shm/") : isRegular == 0
  }
}
