internal import CSluiceLinux
import Glibc

/// Makes sure that a thread can be traced before it is, so that none of our own threads waits in the kernel for what may
/// never come: sluice_trial.h tells for what.
///
/// What comes up between the trial and the tracing, within microseconds, is not found.
enum TracingTrial {
  private static let stepMilliseconds: Int32 = 100

  /// Tries the first thread of a process, and all of them where that one is stopped or cannot be asked. The first
  /// finds whether the process is about to execute a program; that all are stopped by a signal shows in it, too.
  ///
  /// - Throws: `TargetError` with `systemCall` when there is no answer until the deadline, or with `cancelled`.
  static func run(
    of process: ThreadList, until deadline: ContinuousClock.Instant
  ) throws(TargetError) {
    let first = process.process.pid
    try run(first, of: process, until: deadline)
    switch try process.state(of: first) {
    // D: the kernel shows threads so that a freezer of version 1 has frozen, also when they are traced and stopped.
    case "T", "D", "Z", "X": break
    default: return
    }
    let threads: [Int32]
    do throws(TargetError) {
      threads = try process.all()
    } catch {
      // What has ended nobody waits for.
      guard error.code == .gone else { throw error }
      return
    }
    for thread in threads where thread != first { try run(thread, of: process, until: deadline) }
  }

  private static func run(
    _ thread: Int32, of process: ThreadList, until deadline: ContinuousClock.Instant
  ) throws(TargetError) {
    var error: Int32 = 0
    guard let trial = unsafe sluice_trial_start(thread, &error) else {
      throw TargetError(
        .systemCall, "starting the process that tries whether thread \(thread) can be traced",
        errno: SystemErrno(code: error))
    }
    defer { unsafe sluice_trial_end(trial) }
    while unsafe !sluice_trial_has_ended(trial, stepMilliseconds) {
      try TargetError.checkCancellation()
      guard ContinuousClock.now < deadline else { throw try noAnswer(thread, process) }
    }
  }

  private static func noAnswer(_ thread: Int32, _ process: ThreadList) throws(TargetError) -> TargetError {
    let state = try process.state(of: thread).map { " (its state is \($0))" } ?? ""
    return TargetError(
      .systemCall,
      "thread \(thread) of process \(process.process.pid) cannot be traced\(state): it was stopped by a signal and is frozen"
        + " by a cgroup of version 1, or waits for the file of a program that it executes: thaw it, or try again later"
    )
  }
}
