internal import CSluiceLinux
import Glibc
internal import SluiceSystem

/// What a thread that we trace does.
enum ThreadLook {
  case runs
  /// The thread is stopped. The signal is the one that it was about to get; 0 for none.
  case stands(signal: Int32)
  case hasEnded
  case isNotTraced

  init(at thread: ThreadTable.Thread) throws(TargetError) {
    var signal: Int32 = 0
    switch unsafe sluice_look_at_thread(thread.id, &signal) {
    case Int32(SLUICE_THREAD_RUNS.rawValue): self = .runs
    case Int32(SLUICE_THREAD_STANDS.rawValue): self = .stands(signal: signal)
    case Int32(SLUICE_THREAD_HAS_ENDED.rawValue):
      // Until we have taken note of it, the process cannot execute another program. The end of a first thread is
      // for its parent to take note of.
      if !thread.isFirst { _ = sluice_note_end_of_thread(thread.id) }
      self = .hasEnded
    case -ECHILD: self = .isNotTraced
    case let result:
      throw TargetError(.systemCall, "looking at thread \(thread.id)", errno: SystemErrno(returned: result))
    }
  }
}
