internal import CSluiceLinux

/// How much processor time processes have taken at some moment. While they stand still it stays the same.
struct ProcessTimes {
  private var times: [(pid: Int32, nanoseconds: UInt64)] = []

  /// Of those that have ended there is nothing to tell.
  init(of processes: [TargetProcess]) {
    times.reserveCapacity(processes.count)
    for process in processes {
      guard let time = Self.time(of: process.pid) else { continue }
      times.append((process.pid, time))
    }
  }

  /// Whether none has taken any since.
  ///
  /// That some have does not prove that they ran: the kernel has a frozen thread look at each signal that is sent to it.
  var areStill: Bool {
    times.allSatisfy { entry in
      guard let now = Self.time(of: entry.pid) else { return true }
      return now == entry.nanoseconds
    }
  }

  private static func time(of pid: Int32) -> UInt64? {
    var nanoseconds: UInt64 = 0
    return unsafe sluice_process_time(pid, &nanoseconds) == 0 ? nanoseconds : nil
  }
}
