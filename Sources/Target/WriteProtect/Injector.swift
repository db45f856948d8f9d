internal import CSluiceLinux
import Glibc
internal import SluiceSystem

/// Has processes make a userfaultfd for us: the kernel gives one only to the process itself.
///
/// One thread of the process makes two system calls, userfaultfd and close, for which it is stopped for about a tenth of a
/// millisecond. A small process of ours has it do so. So the thread is resumed as it was even when we are killed; only when
/// that process is killed too, within that tenth of a millisecond, is the thread lost, and with it the process.
public struct Injector: ~Copyable {
  /// How long a thread may take to stop, before another is taken.
  static let patience = Duration.seconds(1)
  /// Threads that are tried.
  private static let mostTries = 8

  /// Speaks to the process that injects, which ends when this is closed. Nil when it has ended by itself.
  private var helper: ProcFile?

  /// Nothing is started before it is needed.
  public init() {}

  /// What a process has made for us.
  struct Made: ~Copyable {
    let userfault: ProcFile
    /// How long one of its threads stood still, in nanoseconds.
    let stoppedNanoseconds: UInt64
  }

  /// - Throws: `TargetError` with `notTrackable` when the process cannot be had to make one, `gone` when it has ended,
  ///   `dumpingCore`, `cancelled`.
  mutating func makeUserfault(in process: TargetProcess) throws(TargetError) -> Made {
    guard sluice_can_inject() else {
      throw TargetError(.notTrackable, "Sluice does not know the system calls of this processor")
    }
    try TracingTrial.run(of: try ThreadList(of: process), until: .now + Self.patience)
    let address = try SyscallInstruction.address(in: process)
    var last: TargetError?
    for thread in try InjectionThreads.candidates(of: process).prefix(Self.mostTries) {
      try TargetError.checkCancellation()
      switch try inject(into: thread, of: process, at: address) {
      case .made(let made): return made
      case .anotherThread(let error): last = error
      }
    }
    throw last ?? TargetProcess.ended(process.pid)
  }

  private enum Outcome: ~Copyable {
    case made(Made)
    /// This one cannot, but another may be able to.
    case anotherThread(TargetError)
  }

  private mutating func inject(
    into thread: Int32, of process: TargetProcess, at address: UInt64
  ) throws(TargetError) -> Outcome {
    let injection = Injection(
      pid: process.pid, thread: thread, call_address: address,
      patience_ns: UInt64(Self.patience / .nanoseconds(1)), wait_at: -1)
    var injected = Injected()
    let helper = try runningHelper()
    let result = unsafe withUnsafePointer(to: injection) {
      unsafe sluice_inject_userfaultfd(helper, process.pidfd.descriptor, $0, &injected)
    }
    if result >= 0 {
      return .made(Made(userfault: ProcFile(adopting: result), stoppedNanoseconds: injected.stopped_ns))
    }
    guard result == -EPROTO else {
      // It was killed, as it is when it cannot trace the thread in time; or it waits for what was frozen in the middle of
      // its call, and detaches from that when it is thawed; or we have no descriptors left.
      self.helper = nil
      throw TargetError(
        result == -ETIMEDOUT ? .notTrackable : .systemCall,
        "making a userfaultfd in thread \(thread) of process \(process.pid) (is it in a frozen cgroup?)",
        errno: SystemErrno(returned: result))
    }
    let step = InjectionStep(rawValue: injected.step) ?? .letGo
    let errno = SystemErrno(code: injected.error)
    // Only the end of the tracer detaches it from a thread that is not stopped, or has ended.
    if step == .stop || errno.code == ETIMEDOUT || errno.code == ESRCH { self.helper = nil }
    if errno.code == EBUSY, step == .seize || step == .stop { throw TargetProcess.dumpsCore(process.pid) }
    try process.checkStillTheSame()
    let error = Self.error(step, errno, thread, process)
    guard step.mayBeOfThread(errno) else { throw error }
    return .anotherThread(error)
  }

  private mutating func runningHelper() throws(TargetError) -> Int32 {
    // Optional chaining would consume it.
    switch helper {
    case .some(let helper): return helper.descriptor
    case .none: break
    }
    let started = sluice_injector_start()
    guard started >= 0 else {
      throw TargetError(
        .systemCall, "starting the helper that makes a userfaultfd in other processes",
        errno: SystemErrno(returned: started))
    }
    helper = ProcFile(adopting: started)
    return started
  }

  private static func error(
    _ step: InjectionStep, _ errno: SystemErrno, _ thread: Int32, _ process: TargetProcess
  ) -> TargetError {
    let subject = "thread \(thread) of process \(process.pid)"
    let reason =
      switch step {
      case .seize: "\(subject) may not be traced (is it under a debugger?)"
      case .suspendFilter:
        "\(subject) is under a seccomp filter: to suspend it, Sluice needs CAP_SYS_ADMIN, and no filter of its own"
      case .stop: "\(subject) does not stop"
      case .state:
        switch errno.code {
        case ENOEXEC: "\(subject) runs 32-bit code"
        case EBUSY: "\(subject) intercepts its own system calls (PR_SET_SYSCALL_USER_DISPATCH)"
        default: "\(subject) cannot make system calls for Sluice at this point"
        }
      case .call:
        switch errno.code {
        case EMFILE: "process \(process.pid) has no free descriptor (RLIMIT_NOFILE)"
        case ETIMEDOUT: "\(subject) does not run (is it in a frozen cgroup?)"
        default: "process \(process.pid) may not make a userfaultfd"
        }
      case .fetch: "taking over the userfaultfd of process \(process.pid)"
      case .close: "process \(process.pid) did not close the userfaultfd that was made in it"
      case .letGo: "letting go of \(subject)"
      }
    return TargetError(.notTrackable, reason, errno: errno)
  }
}

/// How far an injection came.
private enum InjectionStep: UInt32 {
  case seize = 0
  case suspendFilter, stop, state, call, fetch, close, letGo

  /// Whether another thread of the process may fare better.
  func mayBeOfThread(_ errno: SystemErrno) -> Bool {
    switch self {
    case .seize, .suspendFilter, .stop, .state: true
    case .call, .fetch, .close, .letGo: errno.code == ESRCH
    }
  }
}
