internal import CSluiceLinux
internal import SluiceSystem

/// What this process may do: capabilities(7), and the limits that matter to us.
public struct Privileges: Sendable {
  /// Capabilities, by their numbers in the kernel's include/uapi/linux/capability.h.
  public enum Capability: Int, Sendable {
    /// Locking memory beyond the limit.
    case ipcLock = 14
    /// Reading the memory of other users' processes.
    case sysPtrace = 19
    /// Seeing the frame numbers of pages.
    case sysAdmin = 21
  }

  private let effective: UInt64
  /// The limit on locked memory in bytes (RLIMIT_MEMLOCK); `Int64.max` where there is none.
  public let lockedMemoryLimit: Int64

  /// Those of the calling process.
  ///
  /// - Throws: `TargetError` when the kernel does not tell.
  public init() throws(TargetError) {
    let status: StatusLines
    do throws(ProcFile.OpenFailed) {
      status = try StatusLines(ofProcessAt: "/proc/self")
    } catch {
      throw TargetError(.systemCall, "reading /proc/self/status", errno: error.errno)
    }
    guard let effective = status.bits("CapEff") else {
      throw TargetError(.systemCall, "/proc/self/status has no line of the capabilities")
    }
    self.effective = effective
    lockedMemoryLimit = sluice_locked_memory_limit()
    guard lockedMemoryLimit >= 0 else {
      throw TargetError(
        .systemCall, "asking for the limit on locked memory", errno: SystemErrno(returned: lockedMemoryLimit))
    }
  }

  init(effective: UInt64, lockedMemoryLimit: Int64) {
    self.effective = effective
    self.lockedMemoryLimit = lockedMemoryLimit
  }

  /// Whether this process has the capability.
  public func has(_ capability: Capability) -> Bool { effective >> capability.rawValue & 1 == 1 }

  /// What there is to know of kernel.yama.ptrace_scope.
  public enum PtraceScope: Hashable, Sendable {
    /// Its value.
    case value(Int)
    /// The kernel has no Yama.
    case noYama
    /// It cannot be read: /proc is mounted without settings (subset=pid).
    case unknown
  }

  /// The value of kernel.yama.ptrace_scope.
  public static var ptraceScope: PtraceScope {
    do throws(ProcFile.OpenFailed) {
      guard let scope = try SystemSettings.text("kernel/yama/ptrace_scope") else { return .noYama }
      return Int(scope.prefix(while: \.isNumber)).map(PtraceScope.value) ?? .unknown
    } catch {
      return .unknown
    }
  }
}
