internal import CSluiceLinux
import Glibc

/// Chooses the threads of a process that notice least of being stopped.
enum InjectionThreads {
  /// The threads, the fittest first. A thread that would lose a part of its work is none: it is waited for until it does
  /// something else, if there is no other.
  ///
  /// - Throws: `TargetError`: `systemCall` when they cannot be listed, `notTrackable` when all go on waiting so.
  static func candidates(of process: TargetProcess) throws(TargetError) -> [Int32] {
    let list = try ThreadList(of: process)
    let deadline = ContinuousClock.now + patience
    var wait = Backoff()
    // Those that were last seen to wait in a call that is cut short.
    var cutShort: Set<Int32> = []
    var looks = 0
    while true {
      looks += 1
      var found: [(id: Int32, fitness: Fitness)] = []
      var isAnyCutShort = false
      for id in try list.all() {
        switch try fitness(of: id, list) {
        case .unfit: continue
        case .isCutShort: cutShort.insert(id)
        // It may still be in that call, which runs whenever there is something to do for it.
        case .runs where cutShort.contains(id): break
        case let fitness:
          cutShort.remove(id)
          found.append((id, fitness))
        }
        isAnyCutShort = isAnyCutShort || cutShort.contains(id)
      }
      found.sort { $0.fitness.rawValue < $1.fitness.rawValue }
      // What runs may do so in the middle of such a call, which shows in one of a few looks.
      if found.first?.fitness == .runs, looks < fewLooks {
        usleep(lookPauseMicroseconds)
        continue
      }
      guard found.isEmpty, isAnyCutShort else { return found.map(\.id) }
      guard ContinuousClock.now < deadline else {
        throw TargetError(
          .notTrackable,
          "every thread of process \(process.pid) waits in a system call that would end early (such as a write to a full pipe)"
        )
      }
      try TargetError.checkCancellation()
      wait.wait()
    }
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
    /// Waits in a call that ends early when its thread stops, with a part of its work done: the rest may be lost.
    case isCutShort
    /// Has ended, or never returns to the program.
    case unfit
  }

  /// So long threads are waited for that are cut short where they wait.
  private static let patience = Duration.seconds(1)
  private static let fewLooks = 8
  private static let lookPauseMicroseconds: UInt32 = 1000

  private static func fitness(of thread: Int32, _ list: ThreadList) throws(TargetError) -> Fitness {
    guard try list.isWorker(thread) == false else { return .unfit }
    switch try list.state(of: thread) {
    case nil, "Z", "X": return .unfit
    case "D": return .isBusy
    case "R": return .runs
    default: break
    }
    let call: ThreadCall
    switch try ThreadCall.look(at: thread, of: list.process) {
    case .waits(let found): call = found
    // It goes on just now.
    case .isInNone: return .runs
    case .isUntold: return .isDisturbed
    }
    if call.isCutShort { return .isCutShort }
    // It tells how many requests it took, and whoever called it need not expect fewer completions than it asked for.
    if call.number == sluice_ring_enter_call(), call.arguments[1] != 0 { return .endsEarly }
    return sluice_call_survives_stop(call.number) ? .waits : .isDisturbed
  }
}
