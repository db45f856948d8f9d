internal import CSluiceLinux
import Glibc

/// Holds all processes of a cgroup still with the freezer of cgroup v2, which costs the same for a thousand threads as
/// for one: Documentation/admin-guide/cgroup-v2.rst, "cgroup.freeze".
///
/// Nothing thaws a cgroup by itself. So a guard process does, should we be killed.
public struct FrozenCgroup: ~Copyable {
  private let path: String
  private let realPath: String
  private let control: ProcFile
  private let events: ProcFile
  /// Speaks to the guard, which ends when this is closed.
  private let guardian: ProcFile
  private var isHeld = false
  private static let longestPollMilliseconds: Int64 = 100

  /// Prepares to freeze a cgroup and starts the guard; nothing happens to the processes before `freeze`.
  ///
  /// - Parameter path: the cgroup's directory.
  /// - Throws: `TargetError` when it is no cgroup of version 2, or may not be frozen by us.
  public static func open(path: String) throws(TargetError) -> FrozenCgroup {
    let opened = unsafe sluice_open_at(sluice_current_directory(), path, SLUICE_OPEN_DIRECTORY)
    let directory = try owned(opened, "opening the cgroup \(path)")
    let control = try owned(
      unsafe sluice_open_at(directory.descriptor, "cgroup.freeze", SLUICE_OPEN_READ_WRITE),
      "opening \(path)/cgroup.freeze, which every cgroup of version 2 but the first has")
    let events = try owned(
      unsafe sluice_open_at(directory.descriptor, "cgroup.events", SLUICE_OPEN_READ),
      "opening \(path)/cgroup.events")
    let guardian = sluice_guard_start()
    guard guardian >= 0 else {
      throw TargetError(
        .systemCall, "starting the process that would thaw \(path)", errno: SystemErrno(returned: guardian))
    }
    return FrozenCgroup(
      path: path, realPath: realPath(of: directory.descriptor), control: control, events: events,
      guardian: ProcFile(adopting: guardian))
  }

  private static func owned(_ descriptor: Int32, _ doing: String) throws(TargetError) -> ProcFile {
    guard descriptor >= 0 else {
      throw TargetError(.invalidCgroup, doing, errno: SystemErrno(returned: descriptor))
    }
    return ProcFile(adopting: descriptor)
  }

  private init(
    path: String, realPath: String, control: consuming ProcFile, events: consuming ProcFile,
    guardian: consuming ProcFile
  ) {
    self.path = path
    self.realPath = realPath
    self.control = control
    self.events = events
    self.guardian = guardian
  }

  deinit {
    if isHeld { Self.thaw(control.descriptor, guardian.descriptor) }
  }

  /// Whether the process is in this cgroup, or one below it.
  ///
  /// - Throws: `TargetError` when the kernel does not tell.
  public func holds(_ process: TargetProcess) throws(TargetError) -> Bool {
    let text: String
    do throws(ProcFile.OpenFailed) {
      text = try ProcFile.text(ofFileAt: "/proc/\(process.pid)/cgroup")
    } catch {
      if error.errno.code == ENOENT || error.errno.code == ESRCH { throw TargetProcess.ended(process.pid) }
      throw TargetError(.systemCall, "reading /proc/\(process.pid)/cgroup", errno: error.errno)
    }
    guard let line = text.split(separator: "\n").first(where: { $0.hasPrefix("0::/") }) else { return false }
    return Self.holds(directory: realPath, process: String(line.dropFirst(3)))
  }

  /// - Parameters:
  ///   - directory: the absolute path of the cgroup's directory, below wherever cgroups are mounted.
  ///   - process: the path of a process' cgroup, as /proc/PID/cgroup has it.
  static func holds(directory: String, process: String) -> Bool {
    var ancestor = process[...]
    while ancestor.count > 1 {
      if directory.hasSuffix(ancestor) { return true }
      guard let slash = ancestor.lastIndex(of: "/") else { return false }
      ancestor = ancestor[..<slash]
    }
    return false
  }

  /// Freezes the cgroup and waits until everything in it stands still. One that is frozen already is left so, now
  /// and afterwards.
  ///
  /// - Parameter limit: how long that may take.
  /// - Throws: `TargetError`; the cgroup is as it was then.
  public mutating func freeze(within limit: Duration = StoppedThreads.patience) throws(TargetError) {
    guard try !isFrozen() else { return }
    let held = sluice_guard_hold(guardian.descriptor, control.descriptor)
    guard held == 0 else {
      throw TargetError(
        .systemCall, "telling the guard of the cgroup \(path)", errno: SystemErrno(returned: held))
    }
    isHeld = true
    let written = unsafe sluice_write(control.descriptor, "1", 1)
    guard written == 1 else {
      thaw()
      throw TargetError(.systemCall, "freezing the cgroup \(path)", errno: SystemErrno(returned: written))
    }
    let deadline = ContinuousClock.now + limit
    while try !isFrozen() {
      guard !Task.isCancelled else {
        thaw()
        throw .cancelled
      }
      let left = (deadline - .now).components
      let milliseconds = left.seconds * 1000 + left.attoseconds / 1_000_000_000_000_000
      guard milliseconds > 0 else {
        thaw()
        throw TargetError(.systemCall, "the cgroup \(path) does not freeze: try again later")
      }
      // The kernel tells of each change of cgroup.events.
      var watched = pollfd(fd: events.descriptor, events: Int16(POLLPRI), revents: 0)
      // Of our task's cancellation nothing tells: hence the steps.
      _ = unsafe poll(&watched, 1, Int32(min(milliseconds, Self.longestPollMilliseconds)))
    }
  }

  /// Lets everything go on, if it was this that froze it.
  public mutating func thaw() {
    guard isHeld else { return }
    isHeld = false
    Self.thaw(control.descriptor, guardian.descriptor)
  }

  /// Ends the hold and leaves everything frozen, until somebody writes 0 to cgroup.freeze.
  public mutating func leaveFrozen() {
    guard isHeld else { return }
    isHeld = false
    // A guard that has ended has nothing to be told.
    _ = sluice_guard_release(guardian.descriptor)
  }

  private static func thaw(_ control: Int32, _ guardian: Int32) {
    // If this failed, the guard would try once more when we end, which is all that is left.
    if unsafe sluice_write(control, "0", 1) == 1 { _ = sluice_guard_release(guardian) }
  }

  private func isFrozen() throws(TargetError) -> Bool {
    var text = [UInt8](repeating: 0, count: 256)
    let descriptor = events.descriptor
    let count = unsafe text.withUnsafeMutableBytes {
      unsafe sluice_pread(descriptor, $0.baseAddress, $0.count, 0)
    }
    guard count >= 0 else {
      throw TargetError(.systemCall, "reading \(path)/cgroup.events", errno: SystemErrno(returned: count))
    }
    return String(decoding: text[..<count], as: UTF8.self).split(separator: "\n").contains("frozen 1")
  }

  private static func realPath(of descriptor: Int32) -> String {
    var text = [UInt8](repeating: 0, count: 4096)
    let count = unsafe text.withUnsafeMutableBytes {
      unsafe sluice_read_link_at(
        sluice_current_directory(), "/proc/self/fd/\(descriptor)", $0.baseAddress, $0.count)
    }
    return String(decoding: text[..<max(0, count)], as: UTF8.self)
  }
}
