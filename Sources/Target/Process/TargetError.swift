public import CSluiceLinux
internal import SluiceSystem

/// What went wrong with the process that is being copied.
public struct TargetError: Error, CustomStringConvertible {
  /// The kinds that a caller may want to tell apart.
  public enum Code: Hashable, Sendable {
    /// There is no process with that pid, or none that has memory of its own.
    case noSuchProcess
    /// The pid cannot be meant: it is ours, or no pid at all.
    case invalidPid
    /// What was named is no cgroup that we can freeze, or the process is not in it.
    case invalidCgroup
    /// The process ended, or executed another program, while it was copied.
    case gone
    /// A core of the process is being written, which a stop would cut short; it ends with that.
    case dumpingCore
    /// The kernel does not let us.
    case notPermitted
    /// Our task was cancelled.
    case cancelled
    /// Processes were stopped for as long as they may be (`StopLease`).
    case stoppedTooLong
    /// The writes of the process cannot be tracked without stopping it.
    case notTrackable
    /// The same, since somebody else tracks them in that way.
    case trackedByAnother
    /// A page is mapped and yet cannot be read.
    case unreadable
    /// The same, found out before anything was done, of a page that the process itself may not read.
    case hidden
    /// A system call failed in a way that none of the others describes.
    case systemCall
  }

  /// The kind of failure.
  public let code: Code
  /// What was being done, to which process, and what to do about it; one line.
  public let message: String
  /// The kernel's reason, where there was one.
  public let errno: SystemErrno?
  /// Whether the process is `gone` because it executes another program now, and so can be copied anew.
  public let isCausedByExec: Bool

  /// A failure of that kind.
  public init(_ code: Code, _ message: String, errno: SystemErrno? = nil, isCausedByExec: Bool = false) {
    self.code = code
    self.message = message
    self.errno = errno
    self.isCausedByExec = isCausedByExec
  }

  /// Whether the process has ended or is about to: of a tree, such a one is left out.
  public var isOfEnd: Bool { code == .gone || code == .dumpingCore }

  /// Makes sure that our task goes on. For what takes its time and has no other place to end early.
  ///
  /// - Throws: `TargetError` with `cancelled`.
  public static func checkCancellation() throws(TargetError) {
    guard !Task.isCancelled else { throw cancelled }
  }

  /// Our task was cancelled.
  static var cancelled: TargetError { TargetError(.cancelled, "the task was cancelled") }

  /// The message, and the kernel's reason.
  public var description: String {
    errno.map { "\(message): \($0.reason)" } ?? message
  }
}
