internal import CSluiceLinux
import Glibc
internal import SluiceSystem
internal import Synchronization

/// A process that is to be copied, with open descriptors by which it cannot be mistaken for another.
///
/// The pidfd is opened first: while it says that the process lives, the pid has not been given to
/// another one. The descriptors of mem, pagemap and maps stay with the memory that was there at the start,
/// which tells of an execve.
public final class TargetProcess: Sendable {
  /// The pid as we see it.
  public let pid: Int32
  /// The pid that the process sees itself: CRIU names its images by it.
  public let namespacePid: Int32
  /// The process that it was a child of when it was opened.
  public let parentPid: Int32
  /// The name of the program, as the kernel keeps it (15 bytes).
  public let command: String
  /// When the process started, in clock ticks since boot (field 22 of /proc/PID/stat).
  public let startTime: UInt64
  /// The same in the machine's own time, which no time namespace shifts.
  public let machineStartTime: UInt64

  /// Where its stack began when it executed its program: processes that share their memory have the same.
  let stackStart: UInt64
  /// Whether somebody answers page faults of the process by a userfaultfd that it has open itself.
  let answersFaults: Bool
  let pidfd: ProcFile
  let memory: ProcFile
  let pagemap: ProcFile
  let maps: ProcFile
  /// Whether a `MemoryMap` reads `maps` at present: another one meanwhile opens the file once more.
  let areMapsRead = Atomic<Bool>(false)

  /// Opens a process and makes sure that its memory may be read.
  ///
  /// - Throws: `TargetError` with `invalidPid`, `noSuchProcess` (nothing there, a thread, a kernel thread
  ///   or a zombie) or `notPermitted`.
  public init(pid: Int32) throws(TargetError) {
    guard pid > 0 else { throw TargetError(.invalidPid, "\(pid) is not a pid: pids begin at 1") }
    guard pid != getpid() else {
      throw TargetError(
        .invalidPid, "process \(pid) is this program itself, which cannot copy its own memory")
    }
    let opened = sluice_pidfd_open(pid)
    // Owned at once, so that it is closed also where the process' state is a reason to fail.
    let pidfd = opened >= 0 ? ProcFile(adopting: opened) : nil
    let status = try Self.status(of: pid)
    guard let pidfd else {
      throw TargetError(.systemCall, "opening process \(pid)", errno: SystemErrno(returned: opened))
    }
    self.pidfd = pidfd
    if status.isKernelThread {
      throw TargetError(
        .noSuchProcess, "process \(pid) (\(status.command)) is a kernel thread: it has no memory to copy")
    }
    if status.hasEnded {
      // A zombie lives in the eyes of its pidfd while any of its threads does.
      if status.state == "Z", sluice_pidfd_is_alive(self.pidfd.descriptor) == 1 {
        throw Self.mainThreadEnded(pid, .noSuchProcess)
      }
      throw TargetError(
        .noSuchProcess, "process \(pid) (\(status.command)) has ended (it is a zombie): it has no memory left"
      )
    }
    self.pid = pid
    namespacePid = status.namespacePid
    parentPid = status.parentPid
    command = status.command
    startTime = status.startTime
    machineStartTime = UInt64(max(0, Int64(clamping: status.startTime) - (try Uptime.namespaceTicks())))
    stackStart = status.stackStart
    // mem asks for what process_vm_readv asks for too (PTRACE_MODE_ATTACH), so a refusal shows here.
    memory = try Self.open("mem", of: pid)
    pagemap = try Self.open("pagemap", of: pid)
    maps = try Self.open("maps", of: pid)
    do throws(ProcFile.OpenFailed) {
      answersFaults = try !OpenDescriptors(of: pid, linkedTo: "anon_inode:[userfaultfd]").numbers.isEmpty
    } catch {
      throw Self.unreadable("fd", of: pid, errno: error.errno)
    }
  }

  /// What tells it from others that images may be named like it.
  public var identity: ProcessTree.Identity {
    ProcessTree.Identity(namespacePid: namespacePid, startTime: startTime)
  }

  /// How many threads it has; 0 when it has ended.
  ///
  /// - Throws: `TargetError` when the kernel does not tell.
  public func threadCount() throws(TargetError) -> Int { try ThreadList(of: self).count() }

  /// Whether it has not ended: its pid is no other's then. It is taken to have ended where the kernel does not tell.
  var lives: Bool { sluice_pidfd_is_alive(pidfd.descriptor) == 1 }

  /// Makes sure that what was read was this process' memory all the while: it has neither ended nor
  /// executed another program since it was opened.
  ///
  /// - Throws: `TargetError` with `gone`.
  public func checkStillTheSame() throws(TargetError) {
    let hasMemory = try hasSameMemory()
    let now = try Self.statusIfAny(of: pid)
    // Last: if it lives now, what its pid was asked for was asked of it and no other.
    let alive = sluice_pidfd_is_alive(pidfd.descriptor)
    guard alive >= 0 else {
      throw TargetError(
        .systemCall, "asking whether process \(pid) lives", errno: SystemErrno(returned: alive))
    }
    guard alive == 1, let now else { throw Self.ended(pid) }
    if now.hasEnded {
      // While other threads run, the memory is there.
      guard hasMemory else { throw Self.ended(pid) }
      return
    }
    // Who shares its memory with others (CLONE_VM without CLONE_THREAD) leaves it behind when it executes a program.
    guard hasMemory, now.stackStart == stackStart else {
      throw TargetError(
        .gone, "process \(pid) executed another program (\(now.command)) while it was copied: start again",
        isCausedByExec: true)
    }
  }

  /// Whether a core of it is being written, so that it must not be interrupted. One that has ended is none.
  ///
  /// - Throws: `TargetError` when the kernel does not tell.
  public func isDumpingCore() throws(TargetError) -> Bool {
    switch sluice_dumps_core(pid) {
    case 1: return true
    case 0, -ESRCH: return false
    case let result:
      throw TargetError(.systemCall, "reading /proc/\(pid)/status", errno: SystemErrno(returned: result))
    }
  }

  /// Makes sure that no core of it is being written: a stop would cut that short.
  ///
  /// - Throws: `TargetError` with `dumpingCore`.
  func checkMayBeInterrupted() throws(TargetError) {
    if try isDumpingCore() { throw Self.dumpsCore(pid) }
  }

  static func dumpsCore(_ pid: Int32) -> TargetError {
    TargetError(
      .dumpingCore,
      "process \(pid) is dumping core and will end: a stop would damage its core, so it is not copied"
    )
  }

  /// This process, opened anew if it has executed another program.
  ///
  /// - Throws: `TargetError`: with `gone` or `noSuchProcess` when it has ended.
  func asItIsNow() throws(TargetError) -> TargetProcess {
    do throws(TargetError) {
      try checkStillTheSame()
      return self
    } catch {
      guard error.code == .gone else { throw error }
    }
    let now = try TargetProcess(pid: pid)
    guard now.startTime == startTime else { throw Self.ended(pid) }
    return now
  }

  /// Whether the memory that was there at the start still is.
  private func hasSameMemory() throws(TargetError) -> Bool {
    var entry: UInt64 = 0
    let count = unsafe sluice_pread(pagemap.descriptor, &entry, MemoryLayout<UInt64>.size, 0)
    guard count >= 0 else {
      throw TargetError(
        .systemCall, "reading /proc/\(pid)/pagemap", errno: SystemErrno(returned: count))
    }
    return count > 0
  }

  /// Makes sure that the memory is still there: of memory that is gone, a scan finds nothing and says no more.
  ///
  /// - Throws: `TargetError` with `gone`.
  func checkMemoryIsThere() throws(TargetError) {
    guard try hasSameMemory() else {
      throw failure(of: "reading the page states", errno: SystemErrno(code: ESRCH))
    }
  }

  /// What the kernel says of the mapping at an address.
  enum MappingQuery {
    /// The mapping that the address is in, or else the next one above it.
    case mapping(MappingAnswer)
    /// There is no mapping there, and none above.
    case none
    /// The kernel has no such question (before Linux 6.11).
    case cannotBeAsked
  }

  /// Asks for the mapping that `address` is in, or else the next one above it.
  ///
  /// - Throws: `TargetError` when the memory is gone or the kernel refuses.
  func mapping(atOrAbove address: UInt64) throws(TargetError) -> MappingQuery {
    var mapping = MappingAnswer()
    let found = unsafe sluice_next_mapping(maps.descriptor, address, &mapping)
    switch found {
    case 1: return .mapping(mapping)
    case 0: return .none
    case -ENOTTY: return .cannotBeAsked
    default: throw failure(of: "asking for the mappings", errno: SystemErrno(returned: found))
    }
  }

  /// The error for a system call about this memory that has failed: that the process ended, where it did, else
  /// the call's own.
  func failure(of doing: String, errno: SystemErrno) -> TargetError {
    do throws(TargetError) {
      try checkStillTheSame()
    } catch {
      return error
    }
    switch errno.code {
    case ESRCH: return lostMemory()
    case EPERM, EACCES:
      return TargetError(
        .notPermitted, "\(doing) of process \(pid) is no longer permitted: \(Self.permissionAdvice())",
        errno: errno)
    default: return TargetError(.systemCall, "\(doing) of process \(pid)", errno: errno)
    }
  }

  /// The memory that the process has for itself, resident or swapped, in bytes: about what there is to copy.
  /// 0 when the kernel does not tell (before Linux 4.5).
  ///
  /// - Throws: `TargetError` when the process is gone, or what the kernel says cannot be read.
  public func ownMemoryBytes() throws(TargetError) -> UInt64 {
    do throws(ProcFile.OpenFailed) {
      let status = try StatusLines(ofProcessAt: "/proc/\(pid)")
      return status.bytes("RssAnon") + status.bytes("VmSwap")
    } catch {
      if error.errno.code == ENOENT || error.errno.code == ESRCH { throw Self.ended(pid) }
      throw TargetError(.systemCall, "reading /proc/\(pid)/status", errno: error.errno)
    }
  }

  static func ended(_ pid: Int32) -> TargetError {
    TargetError(.gone, "process \(pid) ended while it was copied")
  }

  /// The error for when the pid leads to no memory any more, though the process was not seen to have ended.
  private func lostMemory() -> TargetError {
    do throws(TargetError) {
      // A zombie before the whole process has ended: other threads run on, or are about to end, too.
      let isZombie = try Self.statusIfAny(of: pid)?.state == "Z"
      return isZombie ? Self.mainThreadEnded(pid, .gone) : Self.ended(pid)
    } catch {
      return error
    }
  }

  /// A process of which CRIU thinks that it has ended, for it looks at the main thread alone.
  private static func mainThreadEnded(_ pid: Int32, _ code: TargetError.Code) -> TargetError {
    TargetError(
      code,
      "the main thread of process \(pid) has ended: its memory cannot be copied, though other threads may run on"
        + " (CRIU cannot dump such a process either)")
  }

  /// Nil when there is no such process.
  private static func statusIfAny(of pid: Int32) throws(TargetError) -> ProcessStatus? {
    let stat: String
    let text: String
    do throws(ProcFile.OpenFailed) {
      stat = try ProcFile.text(ofFileAt: "/proc/\(pid)/stat")
      text = try ProcFile.text(ofFileAt: "/proc/\(pid)/status")
    } catch {
      if error.errno.code == ENOENT || error.errno.code == ESRCH { return nil }
      throw TargetError(.systemCall, "reading /proc/\(pid)/stat", errno: error.errno)
    }
    guard let status = ProcessStatus(stat: stat, status: text) else {
      throw TargetError(.systemCall, "/proc/\(pid)/stat has an unexpected form")
    }
    return status
  }

  private static func status(of pid: Int32) throws(TargetError) -> ProcessStatus {
    guard let status = try statusIfAny(of: pid) else {
      throw TargetError(.noSuchProcess, "there is no process \(pid)")
    }
    guard status.threadGroup == pid else {
      throw TargetError(
        .noSuchProcess,
        "\(pid) is a thread of process \(status.threadGroup), not a process: use \(status.threadGroup)")
    }
    return status
  }

  /// Opens /proc/PID/maps once more.
  ///
  /// - Throws: `TargetError` when it cannot be opened.
  func openMaps() throws(TargetError) -> ProcFile { try Self.open("maps", of: pid) }

  private static func open(_ name: String, of pid: Int32) throws(TargetError) -> ProcFile {
    do throws(ProcFile.OpenFailed) {
      return try ProcFile(path: "/proc/\(pid)/\(name)")
    } catch {
      throw unreadable(name, of: pid, errno: error.errno)
    }
  }

  /// Why a file of a process cannot be opened, or read at once.
  private static func unreadable(_ name: String, of pid: Int32, errno: SystemErrno) -> TargetError {
    switch errno.code {
    case EACCES, EPERM:
      TargetError(
        .notPermitted, "reading the memory of process \(pid) is not permitted: \(permissionAdvice())",
        errno: errno)
    case ENOENT, ESRCH: ended(pid)
    default: TargetError(.systemCall, "opening /proc/\(pid)/\(name)", errno: errno)
    }
  }

  /// What is missing, and how to get it: ptrace(2), "Ptrace access mode checking".
  static func permissionAdvice() -> String {
    // Kernels without the Yama module have no such file.
    var scope = 0
    if case .value(let value) = Privileges.ptraceScope { scope = value }
    let canTrace = (try? Privileges())?.has(.sysPtrace) ?? false
    return permissionAdvice(canTrace: canTrace, ptraceScope: scope)
  }

  static func permissionAdvice(canTrace: Bool, ptraceScope: Int) -> String {
    // 3 holds until the machine is restarted, and for everybody.
    if ptraceScope >= 3 { return "kernel.yama.ptrace_scope is \(ptraceScope): reboot with a lower one" }
    if canTrace {
      return
        "the process is in an outer user namespace, or a security module (AppArmor, SELinux) forbids it: run sluice"
        + " outside of the container, or without that profile"
    }
    let user = ptraceScope > 0 ? " and with kernel.yama.ptrace_scope 0 (it is \(ptraceScope))" : ""
    return "run sluice as root (sudo) or with CAP_SYS_PTRACE, or as the same user\(user)"
  }
}
