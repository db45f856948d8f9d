internal import CSluiceLinux
import Glibc

/// Chooses the threads of a process that notice least of being stopped.
enum InjectionThreads {
  /// The threads, the fittest first.
  ///
  /// - Throws: `TargetError` when they cannot be listed.
  static func candidates(of process: TargetProcess) throws(TargetError) -> [Int32] {
    let list = try ThreadList(of: process)
    var ids = [Int32](repeating: 0, count: 64)
    var count = try list.read(into: &ids)
    while count > ids.count {
      ids = [Int32](repeating: 0, count: 2 * count)
      count = try list.read(into: &ids)
    }
    var found: [(id: Int32, fitness: Fitness)] = []
    for id in ids[..<count] {
      let fitness = try fitness(of: id, list)
      if fitness != .unfit { found.append((id, fitness)) }
    }
    return found.sorted { $0.fitness.rawValue < $1.fitness.rawValue }.map(\.id)
  }

  private enum Fitness: Int {
    /// Waits in a system call that the kernel goes on with, or begins anew by itself, with the time that is left.
    case waits
    case runs
    /// Waits in a call that ends early when its thread stops (signal(7)), or in one that is not known.
    case isDisturbed
    /// Is in the middle of something that cannot be interrupted, and may be for long.
    case isBusy
    /// Has ended.
    case unfit
  }

  private static func fitness(of thread: Int32, _ list: ThreadList) throws(TargetError) -> Fitness {
    switch try list.state(of: thread) {
    case nil, "Z", "X": return .unfit
    case "D": return .isBusy
    case "R": return .runs
    default: break
    }
    let path = "/proc/\(list.process.pid)/task/\(thread)/syscall"
    let text: String
    do throws(ProcFile.OpenFailed) {
      text = try ProcFile.text(ofFileAt: path)
    } catch {
      switch error.errno.code {
      // Who may not read it, or has a kernel without it, learns no more than the state.
      case EACCES, EPERM, ENOENT, ESRCH: return .isDisturbed
      default: throw TargetError(.systemCall, "reading \(path)", errno: error.errno)
      }
    }
    // "running", or a number first: proc_pid_syscall(5).
    guard let first = text.split(separator: " ").first, let number = Int32(first) else { return .isDisturbed }
    return sluice_call_survives_stop(number) ? .waits : .isDisturbed
  }
}
