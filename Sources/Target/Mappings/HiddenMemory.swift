internal import CSluiceLinux

/// Memory that a process itself may not read (PROT_NONE and the like), where this kernel shows it to nobody but the
/// tracer of the process, or to nobody at all (proc_mem.force_override, Linux 6.12).
public enum HiddenMemory {
  /// Makes sure that all pages of these processes can be read, before anything is done to them. Where the kernel shows such
  /// memory, nothing is looked for.
  ///
  /// - Throws: `TargetError` with `hidden`; also what else is wrong with the first process. Others may end meanwhile.
  public static func check(_ processes: [TargetProcess]) throws(TargetError) {
    switch KernelSupport.hiddenMemory() {
    case .yes: return
    case .no: break
    case .refused(let errno):
      throw TargetError(
        .systemCall, "trying whether this kernel shows memory that a process itself may not read",
        errno: errno)
    }
    for process in processes {
      let page: UInt64?
      do throws(TargetError) { page = try firstPage(of: process) } catch {
        guard error.code == .gone, process.pid != processes[0].pid else { throw error }
        continue
      }
      if let page { throw TargetError(.hidden, message(for: page, of: process)) }
    }
  }

  /// The first page that is there and that the process itself may not read.
  private static func firstPage(of process: TargetProcess) throws(TargetError) -> UInt64? {
    var walk = try PageWalk(of: process)
    while let (vma, treatment) = try walk.nextMapping() {
      guard !vma.isReadable, treatment == .take else { continue }
      while try walk.nextOfMapping() {
        if let found = walk.runs.first { return found.run.address }
      }
    }
    return nil
  }

  /// What is wrong with such a page.
  static func message(for address: UInt64, of process: TargetProcess) -> String {
    "the page at 0x\(String(address, radix: 16)) of process \(process.pid) exists but cannot be read: the process itself"
      + " may not read it, and this kernel allows nobody else to unless it is booted with"
      + " proc_mem.force_override=always"
  }
}
