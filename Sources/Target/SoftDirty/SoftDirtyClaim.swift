internal import CSluiceLinux
import Glibc
internal import SluiceSystem

/// Has the soft-dirty bits of a process for one run of Sluice alone, until this object goes or we are killed: who clears
/// them hides writes from everybody else who goes by them.
///
/// It is a lock (flock) on /proc/PID/clear_refs, which only those may open who may clear the bits. Of others than Sluice
/// it tells nothing, nor across two mounts of /proc.
public final class SoftDirtyClaim: Sendable {
  private let file: ProcFile

  private init(_ file: consuming ProcFile) {
    self.file = file
  }

  /// What became of a claim.
  public enum Outcome: Sendable {
    /// It is ours.
    case made(SoftDirtyClaim)
    /// Another run has it.
    case isAnothers
    /// The process has ended, or we may not clear its bits in any case.
    case isOfNoUse
  }

  /// Claims the bits of a process, unless another run has them. It does not wait.
  ///
  /// - Throws: `TargetError` when that cannot be tried.
  public static func make(of process: TargetProcess) throws(TargetError) -> Outcome {
    let path = "/proc/\(process.pid)/clear_refs"
    let file: ProcFile
    do throws(ProcFile.OpenFailed) {
      file = try ProcFile(path: path, access: .write)
    } catch {
      switch error.errno.code {
      // Without CONFIG_PROC_PAGE_MONITOR there is no such file.
      case ENOENT, ESRCH, EACCES, EPERM, EROFS: return .isOfNoUse
      default: throw TargetError(.systemCall, "opening \(path)", errno: error.errno)
      }
    }
    let result = sluice_lock_exclusively(file.descriptor)
    switch result {
    case 0: return .made(SoftDirtyClaim(file))
    case -EWOULDBLOCK: return .isAnothers
    default: throw TargetError(.systemCall, "locking \(path)", errno: SystemErrno(returned: result))
    }
  }
}
