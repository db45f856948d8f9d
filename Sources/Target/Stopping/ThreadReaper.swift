internal import CSluiceLinux
internal import SluiceSystem

/// A thread of ours that takes note of the end of the threads that we trace, while the one that traces them waits for
/// something else: sluice_reaper.h tells why there must be one.
@safe struct ThreadReaper: ~Copyable {
  private let reaper: OpaquePointer

  /// Starts the thread, which waits.
  ///
  /// - Throws: `TargetError` when the system has no thread to give.
  init() throws(TargetError) {
    var error: Int32 = 0
    guard let reaper = unsafe sluice_reaper_start(&error) else {
      throw TargetError(
        .systemCall, "starting the thread that notices when threads end",
        errno: SystemErrno(code: error))
    }
    unsafe self.reaper = unsafe reaper
  }

  deinit {
    unsafe sluice_reaper_end(reaper)
  }

  /// Adds a process whose threads are going to be traced.
  ///
  /// - Parameter threads: kept by the caller until `rest`.
  func add(_ threads: ThreadList) throws(TargetError) {
    let result = unsafe sluice_reaper_add(reaper, threads.descriptor, threads.process.pid)
    guard result == 0 else {
      throw TargetError(
        .systemCall, "noticing when threads of process \(threads.process.pid) end",
        errno: SystemErrno(returned: result))
    }
  }

  /// Takes note of ends from now on, whenever no `step` comes for some milliseconds, until `rest`.
  func work() { unsafe sluice_reaper_work(reaper) }

  /// Says that the thread that traces gets on.
  func step() { unsafe sluice_reaper_step(reaper) }

  /// Does nothing from now on.
  func rest() { unsafe sluice_reaper_rest(reaper) }
}
