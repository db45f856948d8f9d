internal import CSluiceLinux
import Glibc

/// Chooses the threads of a process that notice least of being stopped.
enum InjectionThreads {
  /// The threads, the fittest first.
  ///
  /// - Throws: `TargetError` when they cannot be listed.
  static func candidates(of process: TargetProcess) throws(TargetError) -> [Int32] {
    let list = try ThreadList(of: process)
    var found: [(id: Int32, fitness: Fitness)] = []
    for id in try list.all() {
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
    /// Waits in a call that ends early when its thread stops, and that cannot be begun anew since it has done something.
    case endsEarly
    /// Has ended, or never returns to the program.
    case unfit
  }

  private static func fitness(of thread: Int32, _ list: ThreadList) throws(TargetError) -> Fitness {
    guard try list.isWorker(thread) == false else { return .unfit }
    switch try list.state(of: thread) {
    case nil, "Z", "X": return .unfit
    case "D": return .isBusy
    case "R": return .runs
    default: break
    }
    let path = "/proc/\(list.process.pid)/task/\(thread)/syscall"
    let text: String
    do throws(ProcFile.OpenFailed) {
      text = try ProcFile.text(ofFileAt: path, access: .readIfAllowed)
    } catch {
      switch error.errno.code {
      // Who may not read it, or has a kernel without it, learns no more than the state.
      case EACCES, EPERM, ENOENT, ESRCH: return .isDisturbed
      default: throw TargetError(.systemCall, "reading \(path)", errno: error.errno)
      }
    }
    // "running", or a number and then the arguments: proc_pid_syscall(5).
    let words = text.split(separator: " ")
    guard let first = words.first, let number = Int32(first) else { return .isDisturbed }
    // It tells how many requests it took, and whoever called it need not expect fewer completions than it asked for.
    if number == sluice_ring_enter_call(), words.count > 2, words[2] != "0x0" { return .endsEarly }
    return sluice_call_survives_stop(number) ? .waits : .isDisturbed
  }
}
