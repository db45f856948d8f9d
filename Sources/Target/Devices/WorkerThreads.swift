internal import CSluiceLinux
import Glibc

/// The kernel's own threads of processes that are stopped: workers of io_uring and of vhost. They are not stopped with
/// the others, since the call in which a worker waits would end early then (ERESTARTSYS, EINTR). So they may write to the memory
/// of their process while it is stopped, and this finds out whether they did.
struct WorkerThreads: Sendable {
  struct ID: Hashable, Sendable {
    let pid: Int32
    let thread: Int32
  }

  /// What a worker was doing at a moment.
  private struct Look: Hashable {
    /// How often it has left the processor: one that sleeps, and for which this has not grown, has done nothing since.
    let switches: Int
    let isAsleep: Bool
    /// Whether it sleeps for want of work, which only threads that are stopped could give it.
    let isIdle: Bool
    /// Whether it polls for work: for a second or so after the last, it does not sleep.
    let isPoller: Bool
  }

  private let ids: [ID]
  private var looks: [ID: Look] = [:]
  /// What the io_urings of processes with pollers had completed at that moment.
  private var completions: [Int32: UInt32] = [:]

  /// How long requests may take that are about to end by themselves, such as reads from a disk.
  private static let longestNanoseconds: UInt64 = 2_000_000_000
  private static let lookMicroseconds: UInt32 = 1000

  init(_ ids: [ID]) {
    self.ids = ids
  }

  /// Those of processes that run.
  ///
  /// - Throws: `TargetError` when the kernel does not tell.
  init(of processes: [TargetProcess]) throws(TargetError) {
    var ids: [ID] = []
    for process in processes {
      do throws(TargetError) {
        let list = try ThreadList(of: process)
        for thread in try list.all() where try list.isWorker(thread) == true {
          ids.append(ID(pid: process.pid, thread: thread))
        }
      } catch {
        guard error.code == .gone else { throw error }
      }
    }
    self.init(ids)
  }

  /// Waits until all of them sleep, but not without end: from here on it is seen whether they go on. Returns at once where
  /// there are none.
  ///
  /// - Parameter lease: of the stop.
  /// - Throws: `TargetError` when the kernel does not tell, or our task was cancelled, or the time is over.
  mutating func waitUntilAsleep(_ lease: StopLease) throws(TargetError) {
    try wait(until: { $0.isAsleep || $0.isPoller }, checking: lease.check)
    for id in ids where looks[id]?.isPoller == true {
      completions[id.pid] = try Self.completions(of: id.pid)
    }
  }

  /// Waits until none of them has a request, but not without end.
  ///
  /// - Returns: a process of which one has all the same; nil where there is none.
  /// - Throws: `TargetError` when the kernel does not tell, or our task was cancelled.
  mutating func waitUntilIdle() throws(TargetError) -> Int32? {
    try wait(until: { $0.isIdle || $0.isPoller }, checking: TargetError.checkCancellation)
    return busyProcesses.min()
  }

  /// Those that had a request at the last look.
  var busyProcesses: Set<Int32> {
    Set(looks.filter { !$0.value.isIdle && !$0.value.isPoller }.keys.map(\.pid))
  }

  private mutating func wait(
    until isWell: (Look) -> Bool, checking: () throws(TargetError) -> Void
  ) throws(TargetError) {
    guard !ids.isEmpty else { return }
    let began = sluice_monotonic_nanoseconds()
    while true {
      looks = try lookAtAll()
      if looks.values.allSatisfy(isWell) { return }
      guard sluice_monotonic_nanoseconds() - began < Self.longestNanoseconds else { return }
      try checking()
      usleep(Self.lookMicroseconds)
    }
  }

  /// The processes whose workers may have written to their memory since `waitUntilAsleep`.
  ///
  /// - Throws: `TargetError` when the kernel does not tell.
  func activeProcesses() throws(TargetError) -> Set<Int32> {
    guard !ids.isEmpty else { return [] }
    let now = try lookAtAll()
    var active = Set<Int32>()
    for (id, before) in looks where !before.isIdle {
      if before.isAsleep && now[id]?.switches == before.switches { continue }
      if before.isPoller, try Self.completions(of: id.pid) == completions[id.pid] { continue }
      active.insert(id.pid)
    }
    return active
  }

  private func lookAtAll() throws(TargetError) -> [ID: Look] {
    var looks: [ID: Look] = [:]
    for id in ids { looks[id] = try Self.look(at: id) }
    return looks
  }

  /// Nil for one that has ended.
  private static func look(at id: ID) throws(TargetError) -> Look? {
    let directory = "/proc/\(id.pid)/task/\(id.thread)"
    let status: StatusLines
    do throws(ProcFile.OpenFailed) {
      status = try StatusLines(ofProcessAt: directory)
    } catch {
      if error.errno.code == ENOENT || error.errno.code == ESRCH { return nil }
      throw TargetError(.systemCall, "reading \(directory)/status", errno: error.errno)
    }
    let switches = ["voluntary_ctxt_switches", "nonvoluntary_ctxt_switches"].reduce(0) {
      $0 + (status.number($1) ?? 0)
    }
    let isAsleep = status.state != "R" && status.state != "D"
    let isPoller = status.words("Name")?.first?.hasPrefix("iou-sqp-") == true
    // Where the kernel does not say what a thread sleeps in, the worker passes for one with work.
    let place = (try? ProcFile.text(ofFileAt: "\(directory)/wchan")) ?? ""
    return Look(
      switches: switches, isAsleep: isAsleep, isIdle: isAsleep && idlePlaces.contains(place),
      isPoller: isPoller)
  }

  private static func completions(of pid: Int32) throws(TargetError) -> UInt32 {
    do throws(ProcFile.OpenFailed) {
      return AsyncIOQuiescence.completions(of: try IoUrings(ofProcess: pid))
    } catch {
      if error.errno.code == ENOENT || error.errno.code == ESRCH { return 0 }
      throw TargetError(.systemCall, "listing /proc/\(pid)/fd", errno: error.errno)
    }
  }

  /// The function in which workers of io_uring wait for work (io_uring/io-wq.c), and its name before Linux 6.4. One of
  /// vhost is given work by devices, too, and a poller by what it has asked of sockets: these are never idle.
  private static let idlePlaces: Set<String> = ["io_wq_worker", "io_wqe_worker"]
}
