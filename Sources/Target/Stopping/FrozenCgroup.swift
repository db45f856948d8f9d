internal import CSluiceLinux
import Glibc
internal import SluiceSystem

/// Holds all processes of a cgroup still with the freezer of cgroup v2, which costs the same for a thousand threads as
/// for one: Documentation/admin-guide/cgroup-v2.rst, "cgroup.freeze".
///
/// Nothing thaws a cgroup by itself. So a guard process does, should we be killed. But everybody else who may write to
/// cgroup.freeze may thaw it at any moment: `stoodStill` tells.
public struct FrozenCgroup: ~Copyable {
  /// What is called with a thaw that failed, as there is nobody left to throw it to.
  public typealias Report = @Sendable (TargetError) -> Void

  private let path: String
  private let directory: DirectoryHandle
  private let control: ProcFile
  private let events: ProcFile
  /// Speaks to the guard, which ends when this is closed.
  private let guardian: ProcFile
  private let report: Report
  private var monitor = CgroupWriteMonitor()
  /// Whether it was us who wrote 1 to cgroup.freeze, and so are to write 0.
  private var isHeld = false
  private static let longestPollMilliseconds: Int64 = 100
  /// How often, and within what time, a thaw is tried.
  private static let thawTries = 8
  private static let thawPauseMicroseconds: UInt32 = 10_000

  /// Prepares to freeze a cgroup and starts the guard; nothing happens to the processes before `freeze`.
  ///
  /// - Parameters:
  ///   - path: the cgroup's directory.
  ///   - report: is called when a thaw fails.
  /// - Throws: `TargetError` when it is no cgroup of version 2, may not be frozen by us, or holds us or one that
  ///   we were started by.
  public static func open(path: String, report: @escaping Report) throws(TargetError) -> FrozenCgroup {
    let directory = try directory(at: path)
    let control = try control(in: directory, path)
    let events = try owned(
      unsafe sluice_open_at(directory.descriptor, "cgroup.events", SLUICE_OPEN_READ),
      "opening \(path)/cgroup.events")
    try OwnAncestors.checkAreOutside(try CgroupMembers(of: directory.descriptor, path: path), of: path)
    let guardian = sluice_guard_start()
    guard guardian >= 0 else {
      throw TargetError(
        .systemCall, "starting the process that would thaw \(path)", errno: SystemErrno(returned: guardian))
    }
    return FrozenCgroup(
      path: path, directory: directory, control: control, events: events,
      guardian: ProcFile(adopting: guardian), report: report)
  }

  /// Who is in a cgroup, which could be frozen by us.
  ///
  /// - Throws: `TargetError`, as `open`.
  static func members(ofCgroupAt path: String) throws(TargetError) -> CgroupMembers {
    let directory = try directory(at: path)
    _ = try control(in: directory, path)
    let members = try CgroupMembers(of: directory.descriptor, path: path)
    try OwnAncestors.checkAreOutside(members, of: path)
    return members
  }

  private static func directory(at path: String) throws(TargetError) -> DirectoryHandle {
    do throws(SystemError) { return try DirectoryHandle(path: path) } catch {
      // What the kernel has no reason for says by itself which link was refused.
      let doing = error.errno == nil ? error.message : "opening the cgroup \(path)"
      throw TargetError(.invalidCgroup, doing, errno: error.errno)
    }
  }

  private static func control(
    in directory: borrowing DirectoryHandle, _ path: String
  ) throws(TargetError) -> ProcFile {
    try owned(
      unsafe sluice_open_at(directory.descriptor, "cgroup.freeze", SLUICE_OPEN_READ_WRITE),
      "opening \(path)/cgroup.freeze, which every cgroup of version 2 has except the first")
  }

  private static func owned(_ descriptor: Int32, _ doing: String) throws(TargetError) -> ProcFile {
    guard descriptor >= 0 else {
      throw TargetError(.invalidCgroup, doing, errno: SystemErrno(returned: descriptor))
    }
    return ProcFile(adopting: descriptor)
  }

  private init(
    path: String, directory: consuming DirectoryHandle, control: consuming ProcFile,
    events: consuming ProcFile,
    guardian: consuming ProcFile, report: @escaping Report
  ) {
    self.path = path
    self.directory = directory
    self.control = control
    self.events = events
    self.guardian = guardian
    self.report = report
    monitor.add(self.directory.descriptor)
  }

  deinit {
    if isHeld { Self.thaw(path, control.descriptor, guardian.descriptor, report) }
  }

  /// Who is in it, or in one below.
  ///
  /// - Throws: `TargetError` when the kernel does not tell.
  mutating func members() throws(TargetError) -> CgroupMembers {
    // Whoever is moved out of one of them and back comes back by a write to its files.
    try CgroupMembers(of: directory.descriptor, path: path) { monitor.add($0) }
  }

  /// Freezes the cgroup and waits until everything in it is frozen. A cgroup that somebody else has frozen is left so, now
  /// and afterwards; it does not suffice that a cgroup above it is frozen.
  ///
  /// - Parameters:
  ///   - limit: how long that may take.
  ///   - lease: how long it may stay so: then the guard thaws it, should our thread be stuck in the kernel.
  /// - Throws: `TargetError`; the cgroup is as it was then.
  public mutating func freeze(
    within limit: Duration = StoppedThreads.patience,
    _ lease: StopLease = StopLease(limit: StopLease.usualLimit)
  ) throws(TargetError) {
    let deadline = ContinuousClock.now + limit
    do throws(TargetError) {
      while true {
        // Also where it was: somebody else may have thawed it since.
        if try !isAskedFor() { try hold(lease) }
        monitor.forget()
        if try isFrozen(), try isAskedFor() { return }
        try TargetError.checkCancellation()
        let left = (deadline - .now).components
        let milliseconds = left.seconds * 1000 + left.attoseconds / 1_000_000_000_000_000
        guard milliseconds > 0 else {
          throw TargetError(
            .systemCall,
            "the cgroup \(path) does not freeze, or another program keeps thawing it: try again later")
        }
        // The kernel tells of each change of cgroup.events, of our task's cancellation nothing does: hence the steps.
        sluice_wait_for_cgroup_events(
          events.descriptor, Int32(min(milliseconds, Self.longestPollMilliseconds)))
      }
    } catch {
      thaw()
      throw error
    }
  }

  /// Freezes it, and has the guard thaw it should we be killed.
  private mutating func hold(_ lease: StopLease) throws(TargetError) {
    let held = sluice_guard_hold(guardian.descriptor, control.descriptor, lease.millisecondsUntilStuck)
    guard held == 0 else {
      throw TargetError(
        .systemCall, "telling the guard of the cgroup \(path)", errno: SystemErrno(returned: held))
    }
    isHeld = true
    let written = unsafe sluice_write(control.descriptor, "1", 1)
    guard written == 1 else {
      throw TargetError(.systemCall, "freezing the cgroup \(path)", errno: SystemErrno(returned: written))
    }
  }

  /// Whether processes of the cgroup have been frozen since `times` was taken, which was after `freeze`.
  ///
  /// - Throws: `TargetError` when the kernel does not tell.
  mutating func stoodStill(
    _ processes: [TargetProcess], since times: ProcessTimes
  ) throws(TargetError) -> Bool {
    guard try isAskedFor() else { return false }
    // A process that has run and is frozen again has taken time: where none has, nothing was done to the cgroup that matters.
    if try isFrozen(), times.areStill { return true }
    // The kernel takes time on their account for each signal that comes. Has anybody written to the cgroup, who may have let
    // them run?
    if monitor.sawWrites() { return false }
    let members = try members()
    for process in processes where try !members.holds(process) {
      if sluice_pidfd_is_alive(process.pidfd.descriptor) == 1 { return false }
    }
    return true
  }

  /// Lets everything go on, if it was this that froze it.
  public mutating func thaw() {
    guard isHeld else { return }
    isHeld = false
    Self.thaw(path, control.descriptor, guardian.descriptor, report)
  }

  /// Ends our freeze and leaves everything frozen, until somebody writes 0 to cgroup.freeze.
  ///
  /// - Throws: `TargetError` when somebody has done so already.
  public mutating func leaveFrozen() throws(TargetError) {
    guard try isAskedFor() else {
      thaw()
      throw Self.wasThawed(path)
    }
    guard isHeld else { return }
    isHeld = false
    // A guard that has ended has nothing to be told.
    _ = sluice_guard_release(guardian.descriptor)
  }

  /// What is to be said when it was not frozen all the while.
  func wasThawed() -> TargetError { Self.wasThawed(path) }

  private static func wasThawed(_ path: String) -> TargetError {
    TargetError(
      .systemCall,
      "another program thawed the cgroup \(path), or moved processes out of it, during the stop:"
        + " try again when no other program freezes and thaws it")
  }

  private static func thaw(_ path: String, _ control: Int32, _ guardian: Int32, _ report: Report) {
    var written = 0
    for number in 1...thawTries {
      written = unsafe sluice_write(control, "0", 1)
      // A cgroup that was removed holds nobody.
      if written == 1 || written == -Int(ENODEV) {
        _ = sluice_guard_release(guardian)
        return
      }
      if number < thawTries { usleep(thawPauseMicroseconds) }
    }
    report(
      TargetError(
        .systemCall,
        "thawing the cgroup \(path) failed \(thawTries) times, and its processes are still frozen. Another process of"
          + " Sluice tries next; if they stay frozen, write 0 to \(path)/cgroup.freeze",
        errno: SystemErrno(returned: written)))
  }

  /// Whether cgroup.freeze itself, and not that of a cgroup above, asks for it.
  private func isAskedFor() throws(TargetError) -> Bool {
    try text(of: control.descriptor, "cgroup.freeze").first == "1"
  }

  private func isFrozen() throws(TargetError) -> Bool {
    try text(of: events.descriptor, "cgroup.events").split(separator: "\n").contains("frozen 1")
  }

  private func text(of descriptor: Int32, _ name: String) throws(TargetError) -> String {
    var text = [UInt8](repeating: 0, count: 256)
    let count = unsafe text.withUnsafeMutableBytes {
      unsafe sluice_pread(descriptor, $0.baseAddress, $0.count, 0)
    }
    guard count >= 0 else {
      throw TargetError(.systemCall, "reading \(path)/\(name)", errno: SystemErrno(returned: count))
    }
    return String(decoding: text[..<count], as: UTF8.self)
  }
}
