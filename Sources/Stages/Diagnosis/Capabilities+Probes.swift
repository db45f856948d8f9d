internal import CSluiceLinux
internal import SluiceImages
internal import SluicePipeline
internal import SluiceSystem
internal import SluiceTarget

extension Capabilities {
  mutating func tryTarget(_ pid: Int32) -> ProcessTree? {
    do throws(TargetError) {
      let tree = try ProcessTree(root: pid)
      let command = tree.processes[0].command
      var found = "process \(pid) (\(command)) can be read"
      let descendants = tree.processes.count - 1
      if descendants > 0 { found += ", with \(descendants) descendant\(descendants == 1 ? "" : "s")" }
      if let skipped = tree.skipped.first {
        found += "; not copied: \(tree.skipped.count), such as process \(skipped.pid): \(skipped.reason)"
      }
      for process in tree.processes where try process.isDumpingCore() {
        found += "; process \(process.pid) is dumping core and will end: Sluice does not stop it"
      }
      try HiddenMemory.check(tree.processes)
      // Later rounds are known by it to be of the same start of the machine.
      _ = try Uptime.bootID()
      add(Finding(.target, true, found))
      return tree
    } catch {
      add(Finding(.target, false, error.description))
      fail(with: SluiceError(error))
      return nil
    }
  }

  /// Whether another process writes to the memory of these.
  mutating func trySharedMemory(_ tree: ProcessTree) {
    var tree = tree
    do throws(TargetError) {
      try tree.lookOutside()
    } catch {
      add(Finding(.sharedMemory, nil, error.description))
      return
    }
    if let outsider = tree.outsiders.first(where: \.isCertain) ?? tree.outsiders.first {
      add(
        Finding(
          .sharedMemory, outsider.isCertain ? false : nil, outsider.description,
          fallback: outsider.isCertain
            ? "rounds copy what it writes, --final and verify -t refuse"
            : "it is treated as a process with memory of its own",
          advice: "give -t a common ancestor of both"))
    } else if let (pid, other) = tree.unclear.min(by: { $0.key < $1.key }) {
      add(
        Finding(
          .sharedMemory, nil,
          "the kernel does not say whether process \(pid) shares the memory of process \(other)",
          fallback: "both are copied, and process \(pid) is not watched (userfaultfd)",
          advice: "boot a kernel with CONFIG_KCMP, and allow kcmp in the seccomp filter"))
    } else {
      add(Finding(.sharedMemory, true, "no process outside of the tree shares its memory"))
    }
  }

  /// - Parameter tree: whose images they would be; nil where that is not known.
  mutating func tryOutput(_ path: String, for tree: ProcessTree?) {
    do throws(ImagesError) {
      let output = try OutputProbe(directory: path)
      add(Self.place(path, output, memoryBytes: tree.flatMap { Self.ownMemoryBytes(of: $0) }))
      add(
        Finding(
          .directIO, output.isDirect,
          output.isDirect ? "writes go past the page cache" : "the filesystem has no direct I/O",
          fallback: "writes go through the page cache and are dropped from it",
          advice: "use ext4, XFS or Btrfs"))
    } catch {
      add(Finding(.imagesDirectory, false, error.description))
      fail(with: SluiceError(error))
    }
  }

  private static func ownMemoryBytes(of tree: ProcessTree) -> UInt64? {
    do throws(TargetError) { return try tree.ownMemoryBytes() } catch { return nil }
  }

  /// - Parameter memoryBytes: what would be copied, at most; nil where that is not known.
  private static func place(_ path: String, _ output: OutputProbe, memoryBytes: UInt64?) -> Finding {
    var found = "new images can be made in \(path)"
    if output.isInMemory {
      found += "; files there are memory (such as on a tmpfs), so the images will use RAM"
    }
    guard let free = output.freeBytes, let memoryBytes, memoryBytes > free else {
      return Finding(.imagesDirectory, true, found)
    }
    return Finding(
      .imagesDirectory, nil,
      "\(found), but only \(free >> 20) MiB are free there, and the process has up to \(memoryBytes >> 20) MiB to copy",
      fallback: "the pre-dump fails if they do not fit, and leaves nothing there",
      advice: "choose a directory with more space")
  }

  /// - Parameter tree: the processes whose bits would be cleared; nil where there are none to ask for.
  mutating func trySoftDirty(_ tree: ProcessTree?) {
    do throws(TargetError) {
      let isSupported = try SoftDirty.isSupported()
      if isSupported {
        for process in tree?.processes ?? [] { try SoftDirty.checkMayClear(process) }
      }
      add(
        Finding(
          .softDirty, isSupported,
          isSupported
            ? "the kernel keeps a bit for each page that was written" : "the kernel keeps no such bit",
          fallback: "later rounds find changes in another way; 'criu dump' cannot build on the images",
          advice: "boot a kernel with CONFIG_MEM_SOFT_DIRTY, such as Debian's"))
    } catch {
      add(Finding(.softDirty, nil, error.description))
      fail(with: SluiceError(error))
    }
  }

  /// What the watch of a process costs it, that is there whatever is done: its mappings are another's as far as the kernel
  /// is concerned, with which new ones do not merge, and several of them cannot be moved at once.
  mutating func tryMappings(_ tree: ProcessTree) {
    do throws(TargetError) {
      let room = try MappingRoom()
      var most = (pid: tree.processes[0].pid, count: 0)
      for process in tree.processes {
        let count = try MappingRoom.count(of: process)
        if count > most.count { most = (process.pid, count) }
      }
      let found = "process \(most.pid) has \(most.count) mappings; it may have \(room.limit)"
      add(
        Finding(
          .mappings, room.allowsBeginning(with: most.count),
          "\(found); while --rounds watches it, new mappings stay separate, and mremap cannot move several at once; --tracker content avoids that",
          fallback: "the process is not watched: its rounds use soft-dirty bits, or compare pages",
          advice: "raise vm.max_map_count"))
    } catch {
      add(Finding(.mappings, nil, error.description))
    }
  }

  mutating func tryKernel() {
    add(
      Finding(
        .pagemapScan, KernelSupport.pagemapScan(), yes: "the kernel reports the states of many pages at once",
        fallback: "page states are read one by one, which is slower", advice: "boot Linux 6.7 or later"))
    add(
      Finding(
        .mappingQuery, KernelSupport.mappingQuery(), yes: "the kernel can be asked for a single mapping",
        fallback: "the list of all mappings is read instead", advice: "boot Linux 6.11 or later"))
    add(
      Finding(
        .hiddenMemory, KernelSupport.hiddenMemory(),
        yes: "memory that a process itself may not read can be read",
        no: "the kernel shows memory that a process itself may not read only to its tracer",
        fallback: "a process that has pages in such memory cannot be copied",
        advice: "boot with proc_mem.force_override=always"))
    add(
      Finding(
        .writeProtect, KernelSupport.asynchronousWriteProtect(),
        yes: "rounds of one run (--rounds) need not stop the processes",
        fallback: "later rounds stop the processes for a moment, or read all pages and compare them",
        advice: "boot Linux 6.7 or later, and allow userfaultfd in the seccomp filter"))
    let reason = RingExecutor.reasonUnavailable()
    add(
      Finding(
        .ioUring, reason.map { .refused($0) } ?? .yes, yes: "available",
        fallback: "threads write with pwrite, which takes more CPU",
        advice: "set kernel.io_uring_disabled to 0, and allow io_uring in the seccomp filter"))
  }

  mutating func tryPrivileges() {
    do throws(TargetError) {
      let privileges = try Privileges()
      add(Self.lockedMemory(privileges))
      let canTrace = privileges.has(.sysPtrace)
      add(Self.ptraceScope(Privileges.ptraceScope, canTrace: canTrace))
      add(
        Finding(
          .sysPtrace, canTrace,
          canTrace ? "processes of other users in this user namespace can be read" : "missing",
          fallback: "only processes of the same user can be read",
          advice: "run as root, or with this capability"))
      let isAdmin = privileges.has(.sysAdmin)
      let isNeeded = has(.pagemapScan) != true
      add(
        Finding(
          .sysAdmin, isAdmin,
          isAdmin
            ? "the kernel shows page frame numbers"
            : isNeeded ? "missing" : "missing, but not needed: PAGEMAP_SCAN gives the same information",
          fallback: isNeeded ? "pages of zeros that were only read are copied too" : nil,
          advice: isNeeded ? "run as root, or with this capability" : nil))
    } catch {
      for subject in [Subject.lockedMemory, .ptraceScope, .sysPtrace, .sysAdmin] {
        add(Finding(subject, nil, error.description))
      }
    }
  }

  /// The kernel counts what a ring has registered, unless we may lock whatever we like: io_uring_register(2).
  static func lockedMemory(_ privileges: Privileges) -> Finding {
    let budget = Int64(PreDump.Configuration(pid: 0, imagesDirectory: "").memoryBudget)
    let limit = privileges.lockedMemoryLimit
    let found =
      privileges.has(.ipcLock)
      ? "CAP_IPC_LOCK lifts the limit"
      : limit == .max ? "there is no limit" : "the limit is \(limit >> 10) KiB"
    return Finding(
      .lockedMemory, privileges.has(.ipcLock) || limit >= budget, found,
      fallback: "the kernel pins buffers again for each write, which takes some CPU",
      advice: "raise it to the memory budget (ulimit -l \(budget >> 10))")
  }

  /// Documentation/admin-guide/LSM/Yama.rst.
  static func ptraceScope(_ scope: Privileges.PtraceScope, canTrace: Bool) -> Finding {
    let advice = "set kernel.yama.ptrace_scope to 0"
    switch scope {
    case .noYama: return Finding(.ptraceScope, true, "the kernel has no Yama")
    case .unknown:
      return Finding(
        .ptraceScope, nil, "unknown: /proc is mounted without settings (subset=pid)",
        fallback: "if it is above 0, processes of the same user cannot be read",
        advice: "mount /proc without subset=pid")
    case .value(0): return Finding(.ptraceScope, true, "it is 0: processes of the same user can be read")
    case .value(3):
      return Finding(
        .ptraceScope, false, "it is 3: no process can be read, not even by root",
        fallback: "no pre-dump is possible", advice: "reboot with kernel.yama.ptrace_scope below 3")
    case .value(let scope):
      return Finding(
        .ptraceScope, canTrace, "it is \(scope)\(canTrace ? ", which CAP_SYS_PTRACE overrides" : "")",
        fallback: "processes of the same user cannot be read either", advice: advice)
    }
  }
}

extension Capabilities.Finding {
  fileprivate init(
    _ subject: Capabilities.Subject, _ answer: KernelSupport.Answer, yes: String,
    no: String = "not available", fallback: String, advice: String
  ) {
    switch answer {
    case .yes: self.init(subject, true, yes)
    case .no: self.init(subject, false, no, fallback: fallback, advice: advice)
    case .refused(let errno):
      self.init(
        subject, false, "not available: \(errno.reason)", fallback: fallback, advice: advice)
    }
  }
}
