import CSluiceLinux
import Foundation
import SluiceTestSupport
import Synchronization
import Testing

@testable import SluiceTarget

/// SIGRTMIN, a macro that is a call.
private let realTimeSignal = __libc_current_sigrtmin()

/// One after the other: their processes take all the time that they can get.
@Suite("Stopped threads", .serialized, .timeLimit(.minutes(15)))
struct StoppedThreadsTests {
  /// Runs `body` while the process is stopped, on a thread of its own, which ends after it.
  private func whileStopped(
    _ target: ThreadTarget, _ body: @escaping @Sendable (inout StoppedThreads) throws -> Void
  ) async throws {
    try await blocking {
      var threads = try StoppedThreads(of: [TargetProcess(pid: target.pid)])
      try threads.stop()
      try body(&threads)
    }
  }

  private static func expectHeld(
    _ target: ThreadTarget, sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    let threads = try target.threads()
    #expect(threads.allSatisfy { $0.state == "t" }, "\(threads)", sourceLocation: sourceLocation)
  }

  private static func expectNotHeld(
    _ target: ThreadTarget, sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    #expect(try target.threads().allSatisfy { $0.state != "t" }, sourceLocation: sourceLocation)
    #expect(ProcessMemory.status("TracerPid", of: target.pid) == 0, sourceLocation: sourceLocation)
  }

  @Test(arguments: [1, 2, 100])
  func standStillAndGoOn(count: Int) async throws {
    try await ThreadTarget.run(["--spin", "\(count)"]) { target in
      for _ in 0..<(count == 100 ? 3 : 20) {
        try await whileStopped(target) { threads in
          #expect(threads.count == count + 1)
          try Self.expectHeld(target)
          let before = try target.spins(count)
          usleep(10_000)
          #expect(try target.spins(count) == before)
          threads.resume()
          #expect(threads.count == 0)
          try Self.expectNotHeld(target)
        }
      }
      try await target.untilAllSpin(count)
    }
  }

  /// A program that embeds us waits for whatever ends or stops, and so takes note of what our thread traces.
  @Test(arguments: [["--spin", "3"], ["--breed", "2"], ["--spin", "1", "--signals"]])
  func standStillWhenAnotherThreadOfOursWaitsForAnything(options: [String]) async throws {
    try await ThreadTarget.run(options) { target in
      let sent = UInt64(options.contains("--signals") ? 200 : 0)
      await #expect(processExitsWith: .success) { [pid = target.pid as Int32, sent = sent as UInt64] in
        WaitForAnything.begin()
        for number in 0..<200 {
          while number < sent, unsafe sigqueue(pid, __libc_current_sigrtmin(), sigval()) != 0 { usleep(100) }
          var threads = try StoppedThreads(of: [TargetProcess(pid: pid)])
          try threads.stop()
          for name in try FileManager.default.contentsOfDirectory(atPath: "/proc/\(pid)/task") {
            let stat = try String(contentsOfFile: "/proc/\(pid)/task/\(name)/stat", encoding: .utf8)
            guard stat.contains(") t ") else { exit(1) }
          }
          threads.resume()
        }
        // Had it taken note of none, this would prove nothing.
        exit(WaitForAnything.taken > 0 ? 0 : 2)
      }
      try Self.expectNotHeld(target)
      try await eventually("all signals have come") { try target.signals() >= sent }
      #expect(try target.signals() == sent)
      if options.contains("3") { try await target.untilAllSpin(3) }
    }
  }

  @Test func goOnWhenNobodyHoldsThemAnyMore() async throws {
    try await ThreadTarget.run(["--spin", "3"]) { target in
      try await blocking {
        let process = try TargetProcess(pid: target.pid)
        do {
          var threads = try StoppedThreads(of: [process])
          try threads.stop()
          try Self.expectHeld(target)
        }
        try Self.expectNotHeld(target)
      }
      try await target.untilAllSpin(3)
    }
  }

  @Test(arguments: [true, false])
  func standStillInSeveralProcesses(isAtOnce: Bool) async throws {
    try await ThreadTarget.run(["--spin", "3"]) { one in
      try await ThreadTarget.run(["--spin", "2"]) { other in
        try await blocking {
          let processes = [try TargetProcess(pid: one.pid), try TargetProcess(pid: other.pid)]
          var threads = try StoppedThreads(of: isAtOnce ? processes : [processes[0]])
          try threads.stop()
          if !isAtOnce {
            #expect(threads.count == 4)
            try threads.stop(also: [processes[1]])
          }
          #expect(threads.count == 4 + 3)
          try Self.expectHeld(one)
          try Self.expectHeld(other)
        }
        try await one.untilAllSpin(3)
        try await other.untilAllSpin(2)
      }
    }
  }

  /// Threads that are born while the others are being stopped.
  @Test func standStillWhenNewOnesComeAllTheWhile() async throws {
    try await ThreadTarget.run(["--breed", "4"]) { target in
      for _ in 0..<100 {
        try await whileStopped(target) { threads in
          try Self.expectHeld(target)
          let before = try target.births()
          usleep(200)
          #expect(try target.births() == before)
          #expect(try target.threads().count == threads.count)
        }
      }
      let births = try target.births()
      try await eventually("threads are born again") { try target.births() > births + 100 }
    }
  }

  /// It ends all other threads and takes the first one's id, while they are being stopped: a process that stands
  /// still, or an error, but never one that is taken for standing still.
  @Test func areNotMistakenForThoseOfAnotherProgram() async throws {
    try await ThreadTarget.run(["--spin", "2", "--exec"]) { target in
      let outcomes = try await blocking {
        var stopped = 0
        var gone = 0
        for _ in 0..<300 {
          do throws(TargetError) {
            let process = try TargetProcess(pid: target.pid)
            var threads = try StoppedThreads(of: [process])
            try threads.stop()
            usleep(200)
            // Were one of them running, it would have executed the program by now.
            try process.checkStillTheSame()
            stopped += 1
          } catch {
            // In the middle of it the first thread is a zombie.
            #expect(error.code == .gone || error.code == .noSuchProcess, "\(error)")
            gone += 1
          }
        }
        return (stopped, gone)
      }
      #expect(outcomes.0 > 0 && outcomes.1 > 0, "\(outcomes)")
      for _ in 0..<10 {
        var process: TargetProcess?
        try await eventually("it is between two programs") {
          process = try? TargetProcess(pid: target.pid)
          return process != nil
        }
        try await eventually("it executes itself again") {
          do throws(TargetError) { try process?.checkStillTheSame() } catch { return true }
          return false
        }
      }
    }
  }

  /// A thread that executes a program waits for those that it has killed, until the tracer has taken note of their
  /// end; and the tracer waits in the kernel for that thread, if it is about to seize it or to wait for its stop.
  @Test(arguments: [ExecuteInBetween.Moment.beforeTheSeize, .beforeTheInterrupt])
  fileprivate func doNotWaitForOneThatWaitsForThem(moment: ExecuteInBetween.Moment) async throws {
    try await ThreadTarget.run(["--spin", "2", "--exec-once"]) { target in
      try await eventually("all threads are there") { try target.threads().count == 4 }
      let error = try await blocking {
        var threads = try StoppedThreads(of: [TargetProcess(pid: target.pid)])
        ExecuteInBetween.execute(target, at: moment)
        defer { ExecuteInBetween.executeNoMore() }
        return #expect(throws: TargetError.self) { try threads.stop() }
      }
      #expect(error?.code == .gone, "\(String(describing: error))")
      #expect(error?.message.contains("executed another program") == true, "\(String(describing: error))")
      try await eventually("the new program runs, and nobody traces it") {
        let threads = try target.threads()
        return threads.count == 3 && threads.allSatisfy { $0.state != "t" }
          && ProcessMemory.status("TracerPid", of: target.pid) == 0
      }
    }
  }

  // MARK: Signals

  /// None is lost and none comes twice, wherever a thread stands when it is stopped.
  @Test func getEverySignal() async throws {
    try await ThreadTarget.run(["--spin", "1", "--signals"]) { target in
      let sent = 20_000
      async let sending: Void = blocking {
        for _ in 0..<sent {
          // A real-time signal waits in a queue, which can be full.
          while unsafe sigqueue(target.pid, realTimeSignal, sigval()) != 0 {
            guard errno == EAGAIN else { throw TestFailure("sigqueue: \(errno)") }
            usleep(100)
          }
        }
      }
      for _ in 0..<500 { try await whileStopped(target) { _ in usleep(50) } }
      try await sending
      try await eventually("all signals have come") { try target.signals() >= sent }
      #expect(try target.signals() == sent)
    }
  }

  /// One is about to get a signal when it is stopped: its handler has begun by then, and goes on afterwards.
  @Test(arguments: [true, false])
  func getTheSignalThatTheyWereAboutToGet(isResumed: Bool) async throws {
    try await ThreadTarget.run(["--signals"]) { target in
      try await blocking {
        let held = Held(try StoppedThreads(of: [TargetProcess(pid: target.pid)]))
        SignalInBetween.send(realTimeSignal, to: target.pid)
        defer { SignalInBetween.sendNoMore() }
        try held.threads.stop()
        #expect(held.threads.states == [.stopped(signal: 0)])
        let signals = try target.signals()
        #expect(signals == 0)
        if isResumed {
          held.threads.resume()
        } else {
          // Never let go of: the kernel does that when this thread ends.
          _ = unsafe Unmanaged.passRetained(held)
        }
      }
      try await eventually("the signal has come") { try target.signals() == 1 }
    }
  }

  /// Without a handler nothing of it can begin: a process that a signal ends is there for as long as it is held.
  @Test func areNotEndedBeforeTheyGoOn() async throws {
    try await ThreadTarget.run([]) { target in
      try await blocking {
        let held = Held(try StoppedThreads(of: [TargetProcess(pid: target.pid)]))
        SignalInBetween.send(SIGTERM, to: target.pid)
        defer { SignalInBetween.sendNoMore() }
        try held.threads.stop()
        #expect(held.threads.states == [.stopped(signal: SIGTERM)])
        held.threads.resume()
      }
      #expect(try await target.program.result().end == .killed(SIGTERM))
    }
  }

  @Test func stayStoppedWhereJobControlHasStoppedThem() async throws {
    try await ThreadTarget.run(["--spin", "3"]) { target in
      try await target.program.stop()
      try await whileStopped(target) { threads in
        #expect(threads.count == 4)
        try Self.expectHeld(target)
      }
      try await eventually("job control has all of them again") {
        try target.threads().allSatisfy { $0.state == "T" }
      }
      target.program.resume()
      try await target.untilAllSpin(3)
    }
  }

  @Test func areStoppedByJobControlAfterwardsIfThatIsAskedMeanwhile() async throws {
    try await ThreadTarget.run(["--spin", "3"]) { target in
      try await whileStopped(target) { _ in target.program.send(SIGSTOP) }
      try await eventually("job control has all of them") {
        try target.threads().allSatisfy { $0.state == "T" }
      }
      target.program.resume()
      try await target.untilAllSpin(3)
    }
  }

  @Test func goOnAfterwardsIfThatIsAskedMeanwhile() async throws {
    try await ThreadTarget.run(["--spin", "3"]) { target in
      try await target.program.stop()
      try await whileStopped(target) { _ in
        target.program.resume()
        try Self.expectHeld(target)
      }
      try await target.untilAllSpin(3)
    }
  }

  #if arch(x86_64)
    /// epoll_wait ends early (EINTR) whenever its thread stops, unless it is begun anew.
    @Test func goOnWaitingWhereTheyWaited() async throws {
      try await TrialTarget.run(["epoll", "--period", "1000"]) { target in
        for _ in 0..<20 {
          try await blocking {
            var threads = try StoppedThreads(of: [TargetProcess(pid: target.pid)])
            try threads.stop()
            threads.resume()
          }
          try await Task.sleep(for: .milliseconds(20))
        }
        let answer = try await target.check()
        #expect(answer.hasPrefix("ok ") && answer.contains(" interrupted=0 "), "\(answer)")
      }
    }
  #endif

  // MARK: What cannot be stopped

  @Test func areLetGoWhenTheTracerIsKilled() async throws {
    try await ThreadTarget.run(["--spin", "20", "--breed", "1", "--signals"]) { target in
      let pid = target.pid
      await #expect(processExitsWith: .signal(SIGKILL)) { [pid = pid as Int32] in
        var threads = try StoppedThreads(of: [TargetProcess(pid: pid)])
        try threads.stop()
        let stat = try String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8)
        // Else it ends in another way than the one that is expected.
        if stat.contains(") t ") { kill(getpid(), SIGKILL) }
      }
      try await eventually("it is not held any more") {
        try target.threads().allSatisfy { $0.state != "t" }
      }
      try await target.untilAllSpin(20)
    }
  }

  @Test func mayEndWhileTheyAreHeld() async throws {
    try await ThreadTarget.run(["--spin", "3"]) { target in
      try await whileStopped(target) { threads in
        target.program.send(SIGKILL)
        // The parent learns of it when all threads are let go.
        while try target.threads().contains(where: { $0.state != "Z" }) { usleep(100) }
        threads.resume()
      }
      #expect(try await target.program.result().end == .killed(SIGKILL))
    }
  }

  @Test func areThoseThatAreLeftWhenTheFirstHasEnded() async throws {
    try await ThreadTarget.run(["--spin", "2", "--first-ends"]) { target in
      let process = try TargetProcess(pid: target.pid)
      target.program.send(SIGUSR1)
      try await eventually("the first thread has ended") {
        try target.threads().contains { $0.state == "Z" }
      }
      try await blocking {
        var threads = try StoppedThreads(of: [process])
        try threads.stop()
        #expect(threads.count == 2)
        #expect(try target.threads().filter { $0.state == "t" }.count == 2)
      }
      #expect(try target.threads().filter { $0.state == "R" }.count == 2)
    }
  }

  /// A thread in vfork cannot be stopped before its child executes something.
  @Test func areLetGoWhenOneOfThemDoesNotStop() async throws {
    try await ThreadTarget.run(["--spin", "3", "--vfork"]) { target in
      try await eventually("a thread waits for its child") {
        try target.threads().contains { $0.state == "D" }
      }
      let stuck = try #require(try target.threads().first { $0.state == "D" }?.id)
      try await blocking {
        var threads = try StoppedThreads(of: [TargetProcess(pid: target.pid)])
        do throws(TargetError) {
          try threads.stop(within: .milliseconds(100))
          Issue.record("it was stopped")
        } catch {
          #expect(error.code == .systemCall)
          #expect(
            error.message.contains("thread \(stuck) of process \(target.pid) does not stop"), "\(error)")
          #expect(error.message.contains("state is D"), "\(error)")
        }
        threads.resume()
        #expect(try target.threads().allSatisfy { $0.state != "t" })
      }
      try await target.untilAllSpin(3)
      let text = try String(contentsOfFile: "/proc/\(target.pid)/task/\(stuck)/status", encoding: .utf8)
      #expect(text.contains("TracerPid:\t0\n"))
    }
  }

  @Test func cannotBeStoppedWhileAnotherTracesThem() async throws {
    try await ThreadTarget.run(["--spin", "2"]) { target in
      try await whileStopped(target) { _ in
        let done = DispatchSemaphore(value: 0)
        let tracer = sluice_thread_id()
        // Another thread of ours is another tracer to the kernel.
        Thread.detachNewThread {
          defer { done.signal() }
          let error = #expect(throws: TargetError.self) {
            var threads = try StoppedThreads(of: [TargetProcess(pid: target.pid)])
            try threads.stop()
          }
          #expect(error?.code == .notPermitted)
          #expect(error?.errno?.code == EPERM)
          #expect(
            error?.message.contains("thread \(tracer) traces it") == true, "\(String(describing: error))")
        }
        done.wait()
        try Self.expectHeld(target)
      }
      try await target.untilAllSpin(2)
    }
  }

  /// To a thread that has a name of Sluice's nobody need put an end: it lets go by itself.
  @Test func areWaitedForWhileAnotherRunTracesThem() async throws {
    try await ThreadTarget.run(["--spin", "2"]) { target in
      try await blocking {
        let (began, ended) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
        Thread.detachNewThread {
          defer { ended.signal() }
          Thread.current.name = "sluice-another"
          #expect(throws: Never.self) {
            var threads = try StoppedThreads(of: [TargetProcess(pid: target.pid)])
            try threads.stop()
            began.signal()
            usleep(300_000)
            threads.resume()
          }
        }
        began.wait()
        var threads = try StoppedThreads(of: [TargetProcess(pid: target.pid)])
        try threads.stop()
        try Self.expectHeld(target)
        threads.resume()
        ended.wait()
      }
      try await target.untilAllSpin(2)
    }
  }

  @Test func areThoseOfAProcessThatIsThere() async throws {
    try await ThreadTarget.run(["--spin", "1"]) { target in
      let process = try TargetProcess(pid: target.pid)
      target.program.send(SIGKILL)
      _ = try await target.program.result()
      let error = #expect(throws: TargetError.self) { _ = try StoppedThreads(of: [process]) }
      #expect(error?.code == .gone)
    }
  }

  @Test func trapOnAnotherThreadRatherThanHoldThemForEver() async throws {
    try await ThreadTarget.run(["--spin", "1"]) { target in
      let pid = target.pid
      await #expect(processExitsWith: .failure) { [pid = pid as Int32] in
        let held = Held(try StoppedThreads(of: [TargetProcess(pid: pid)]))
        try held.threads.stop()
        let done = DispatchSemaphore(value: 0)
        Thread.detachNewThread {
          held.threads.resume()
          done.signal()
        }
        done.wait()
      }
      try await target.untilAllSpin(1)
    }
  }
}

/// Sends a signal to a thread of a process when we trace it already and have not yet told it to stop.
private enum SignalInBetween {
  private static let pid = Atomic<Int32>(0)
  private static let signal = Atomic<Int32>(0)
  private static let calls = Atomic<Int>(0)

  static func send(_ number: Int32, to target: Int32) {
    signal.store(number, ordering: .sequentiallyConsistent)
    calls.store(0, ordering: .relaxed)
    pid.store(target, ordering: .sequentiallyConsistent)
    unsafe sluice_set_fault_handler { site, _ in
      if site == SLUICE_FAULT_TRACE { SignalInBetween.nextCall() }
      return 0
    }
  }

  static func sendNoMore() {
    pid.store(0, ordering: .sequentiallyConsistent)
    sluice_set_fault_handler(nil)
  }

  private static func nextCall() {
    // The third call is the one that tells the thread to stop: it is tried before whether it can be traced.
    let target = pid.load(ordering: .sequentiallyConsistent)
    guard target != 0, calls.add(1, ordering: .relaxed).newValue == 3 else { return }
    kill(target, signal.load(ordering: .sequentiallyConsistent))
    var seen: Int32 = 0
    while unsafe sluice_look_at_thread(target, &seen) == 0 { usleep(100) }
  }
}

/// Has the last thread of a process execute a program when the others are stopped, and goes on when that thread waits
/// for the end of the others.
private enum ExecuteInBetween {
  /// What of the last thread comes next.
  enum Moment: Int {
    case beforeTheSeize = 8
    case beforeTheInterrupt = 9
  }

  private static let target = Mutex<(ThreadTarget, Moment)?>(nil)
  private static let calls = Atomic<Int>(0)

  static func execute(_ target: ThreadTarget, at moment: Moment) {
    calls.store(0, ordering: .relaxed)
    Self.target.withLock { $0 = (target, moment) }
    unsafe sluice_set_fault_handler { site, _ in
      if site == SLUICE_FAULT_TRACE { ExecuteInBetween.nextCall() }
      return 0
    }
  }

  static func executeNoMore() {
    sluice_set_fault_handler(nil)
    target.withLock { $0 = nil }
  }

  private static func nextCall() {
    // Two calls for each thread.
    let call = calls.add(1, ordering: .relaxed).newValue
    guard let (target, moment) = target.withLock({ $0 }), call == moment.rawValue else { return }
    target.program.send(SIGUSR2)
    // All but the last are zombies until the last takes the first one's id; which it has already where this thread
    // was not given the processor for long.
    while let threads = try? target.threads(), threads.count == 4,
      threads.count(where: { $0.state == "Z" }) < 3
    { usleep(100) }
  }
}

/// Takes where the compiler would not let it go.
private final class Held: @unchecked Sendable {
  var threads: StoppedThreads

  init(_ threads: consuming StoppedThreads) {
    self.threads = threads
  }
}

/// A thread that waits for any child, again and again.
private enum WaitForAnything {
  private static let count = Atomic<Int>(0)

  /// How often it came to something.
  static var taken: Int { count.load(ordering: .relaxed) }

  static func begin() {
    Thread.detachNewThread {
      while true {
        var status: Int32 = 0
        if unsafe waitpid(-1, &status, 0) > 0 { count.add(1, ordering: .relaxed) }
      }
    }
  }
}
