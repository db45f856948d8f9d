internal import CSluiceLinux
internal import SluiceImages
internal import SluicePipeline
internal import SluiceSystem
internal import SluiceTarget

/// Why a pre-dump, or a look at its images, did not succeed. Everything in the library throws this, and nothing else.
///
/// ```swift
/// do throws(SluiceError) {
///   print(try await PreDump(configuration).run().pagesWritten)
/// } catch where error.code == .cancelled {
///   print("as it was asked for")
/// } catch {
///   print(error)
/// }
/// ```
///
/// With `import SluiceFoundation` its `localizedDescription` is the message, too.
public struct SluiceError: Error, CustomStringConvertible {
  /// The kinds that a caller may want to tell apart; the command gives each its own exit code. More may be added: give a
  /// `switch` over them a `default`.
  public enum Code: Hashable, Sendable {
    /// The request is invalid, such as our own pid or a budget that is too small.
    case invalidArgument
    /// There is no such process, or none with memory; no such images directory.
    case notFound
    /// An image is not in the form that its name promises.
    case malformedImages
    /// The kernel or the machine refused something that works elsewhere.
    case system
    /// The images cannot be created where they should be.
    case cannotCreate
    /// Reading or writing failed.
    case io
    /// The process has memory that it may not read itself, and that this kernel shows to nobody else. Nothing was done to
    /// it yet.
    case hiddenMemory
    /// The process ended or executed another program meanwhile.
    case targetGone
    /// The kernel does not let us.
    case notPermitted
    /// What the processes write cannot be tracked in the way that was asked for.
    case notTrackable
    /// The processes were stopped for as long as they may be (`stopTimeLimit`), before that was done for which they were.
    case stoppedTooLong
    /// What is left to copy takes a longer stop than was allowed (`RoundPolicy.maxStop`), and rounds do not make it less.
    case notConverging
    /// The task that did the work was cancelled.
    case cancelled
  }

  /// The kind of failure.
  public let code: Code
  /// What was being done, to which process or file, and what to do about it; one line.
  public let message: String
  /// The kernel's reason, where there was one.
  public let errno: ErrorNumber?
  /// Whether the target is gone because the process executes another program now, and so can be copied anew.
  public let isCausedByExec: Bool
  /// Whether the processes cannot be tracked because somebody else does so.
  let isTrackedByOthers: Bool

  /// Whether the run was left behind in the kernel, and what it has begun is not cleaned up.
  let isOfOneLeftBehind: Bool

  init(
    _ code: Code, _ message: String, errno: SystemErrno? = nil, isCausedByExec: Bool = false,
    isTrackedByOthers: Bool = false, isOfOneLeftBehind: Bool = false
  ) {
    self.code = code
    self.message = message
    self.errno = errno.map { ErrorNumber($0) }
    self.isCausedByExec = isCausedByExec
    self.isTrackedByOthers = isTrackedByOthers
    self.isOfOneLeftBehind = isOfOneLeftBehind
  }

  /// The message.
  public var description: String { message }

  /// The task of a pre-dump was cancelled.
  public static var cancelled: SluiceError {
    SluiceError(.cancelled, "the pre-dump was cancelled; nothing was kept")
  }

  /// The same of other work, which this names, as far as it is a cancellation at all.
  ///
  /// - Parameter work: such as "the check of the images".
  func ifCancelled(is work: String) -> SluiceError {
    guard code == .cancelled, !isOfOneLeftBehind else { return self }
    return SluiceError(.cancelled, "\(work) was cancelled")
  }

  /// The same of a run that was waited for in vain.
  var ofOneLeftBehind: SluiceError {
    let reason = code == .cancelled ? "the run was cancelled" : message
    return SluiceError(
      code,
      "\(reason); the disk does not answer: unfinished files stay there, and a thread still waits for the disk",
      errno: errno?.kernel, isOfOneLeftBehind: true)
  }

  init(_ error: TargetError) {
    let code: Code =
      switch error.code {
      case .noSuchProcess: .notFound
      case .invalidPid, .invalidCgroup: .invalidArgument
      case .gone, .dumpingCore: .targetGone
      case .notPermitted: .notPermitted
      case .notTrackable, .trackedByAnother: .notTrackable
      case .unreadable: .io
      case .hidden: .hiddenMemory
      case .systemCall: .system
      case .stoppedTooLong: .stoppedTooLong
      case .cancelled: .cancelled
      }
    self.init(
      code, error.description, errno: error.errno, isCausedByExec: error.isCausedByExec,
      isTrackedByOthers: error.code == .trackedByAnother)
  }

  /// A process that would go on writing while the tree stands still.
  init(_ outsider: Outsider) {
    self.init(
      .invalidArgument,
      "\(outsider), and would go on writing to it: give -t a common ancestor of both, or wait for the end of process \(outsider.pid)"
    )
  }

  init(_ error: ImagesError) {
    let code: Code =
      switch error.code {
      case .noSuchDirectory: .notFound
      case .cannotCreate: .cannotCreate
      case .io: .io
      case .malformed: .malformedImages
      case .cancelled: .cancelled
      }
    self.init(code, error.description, errno: error.errno)
  }

  /// What went wrong with a file or a directory that is none of images, as a failure of that kind.
  init(_ error: SystemError, _ code: Code) {
    self.init(code, error.description, errno: error.errno)
  }

  /// A file that a program reads cannot be opened.
  ///
  /// - Parameter code: the kernel's error number.
  package init(opening path: String, code: Int32) {
    let error = SystemError("opening \(path)", returned: -code)
    self.init(error, error.code == .missing ? .notFound : .io)
  }

  init(_ error: MemoryBudget.TooSmall) {
    self.init(
      .invalidArgument,
      "a memory budget of \(error.asked) bytes is too small: use at least \((error.smallest + 1023) / 1024)K"
    )
  }

  init(_ error: NoThread) {
    self.init(
      .system,
      "starting the thread \(error.name): \(error.errno.name); raise the limit on threads (ulimit -u, pids.max of the cgroup)",
      errno: error.errno)
  }

  init(_ error: BufferRing.MappingFailed) {
    self.init(
      .system,
      "mapping \(error.byteCount) bytes of buffers: \(error.errno.name); try a smaller memory budget",
      errno: error.errno)
  }
}

/// Runs `body` and says in the library's own words what went wrong with the process.
func onTarget<Result: ~Copyable>(
  _ body: () throws(TargetError) -> Result
) throws(SluiceError) -> Result {
  do throws(TargetError) { return try body() } catch { throw SluiceError(error) }
}

/// Runs `body` and says in the library's own words what went wrong with the images.
func onImages<Result: ~Copyable>(
  _ body: () throws(ImagesError) -> Result
) throws(SluiceError) -> Result {
  do throws(ImagesError) { return try body() } catch { throw SluiceError(error) }
}
