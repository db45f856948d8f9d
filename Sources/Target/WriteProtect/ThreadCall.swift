internal import CSluiceLinux
import Glibc
internal import SluiceSystem

/// The system call that a thread waits in, as /proc/PID/task/TID/syscall shows it (proc_pid_syscall(5)).
struct ThreadCall {
  /// Its number on this processor.
  let number: Int32
  /// Its six arguments.
  let arguments: [UInt64]

  /// What is known of a thread's call.
  enum Look {
    case waits(ThreadCall)
    /// It runs, or is not in a call.
    case isInNone
    /// We may not read it, or the kernel does not have it (CONFIG_HAVE_ARCH_TRACEHOOK).
    case isUntold
  }

  /// - Throws: `TargetError` when it cannot be read for other reasons.
  static func look(at thread: Int32, of process: TargetProcess) throws(TargetError) -> Look {
    let path = "/proc/\(process.pid)/task/\(thread)/syscall"
    let text: String
    do throws(ProcFile.OpenFailed) {
      text = try ProcFile.text(ofFileAt: path, access: .readIfAllowed)
    } catch {
      switch error.errno.code {
      case EACCES, EPERM, ENOENT, ESRCH: return .isUntold
      default: throw TargetError(.systemCall, "reading \(path)", errno: error.errno)
      }
    }
    // "running", or a number, the arguments, the stack's and the program's place; "-1" where it is in none.
    let words = text.split(whereSeparator: \.isWhitespace)
    guard let number = words.first.flatMap({ Int32($0) }), number >= 0 else { return .isInNone }
    let arguments = words.dropFirst().prefix(6).compactMap { UInt64($0.dropFirst(2), radix: 16) }
    return arguments.count == 6 ? .waits(ThreadCall(number: number, arguments: arguments)) : .isUntold
  }

  /// Whether the call ends early, with a part of its work done, when its thread stops.
  var isCutShort: Bool { unsafe sluice_call_is_cut_short(number, arguments) }

  /// Where the kernel writes the time that is left when a stop interrupts the call.
  var restsOfWait: [Range<UInt64>] {
    var found: [UInt64] = [0, 0]
    let count = unsafe sluice_rest_of_wait(number, arguments, &found)
    return found.prefix(count).filter { $0 != 0 && $0 <= UInt64(Int64.max) }.map { $0..<$0 + 16 }
  }
}

extension StoppedTree {
  /// The memory of a stopped process that the stop itself has changed, or its beginning may have: the kernel
  /// writes how much of waits is left (nanosleep, select and the like), and on which processor a thread came to its stop
  /// (rseq(2)).
  ///
  /// For the thread that has stopped it.
  ///
  /// - Throws: `TargetError` when the threads cannot be looked at.
  public func changedByStop(in process: TargetProcess) throws(TargetError) -> [Range<UInt64>] {
    var changed: [Range<UInt64>] = []
    for thread in try ThreadList(of: process).all() {
      if case .waits(let call) = try ThreadCall.look(at: thread, of: process) { changed += call.restsOfWait }
      var (address, size): (UInt64, UInt32) = (0, 0)
      let result = unsafe sluice_rseq_area(thread, &address, &size)
      // A worker of the kernel's is not traced, and a zombie is none.
      guard result == 0 || result == -ESRCH else {
        throw TargetError(
          .systemCall, "reading the rseq(2) settings of thread \(thread)",
          errno: SystemErrno(returned: result))
      }
      if size > 0, address <= UInt64(Int64.max) { changed.append(address..<address + UInt64(size)) }
    }
    return changed
  }
}
