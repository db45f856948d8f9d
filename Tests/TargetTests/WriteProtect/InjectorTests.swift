import CSluiceLinux
import Foundation
import SluiceTestSupport
import Testing

@testable import SluiceTarget

@Suite("Injector", .timeLimit(.minutes(15)), .enabled(if: sluice_can_inject()))
struct InjectorTests {
  @Test func makesAUserfaultfdThatTheProcessHasNotOpenAnyMore() async throws {
    try await MappingTarget.run { target in
      let before = try TargetState(target.pid)
      var injector = Injector()
      let made = try injector.makeUserfault(in: try TargetProcess(pid: target.pid))
      #expect(sluice_userfault_enable(made.userfault.descriptor) == 0)
      #expect(made.stoppedNanoseconds > 0)
      #expect(try TargetState(target.pid) == before)
      try await target.tell("map 1")
    }
  }

  @Test func servesManyProcesses() async throws {
    try await MappingTarget.run { one in
      try await MappingTarget.run { other in
        var injector = Injector()
        for _ in 0..<50 {
          for target in [one, other] {
            let made = try injector.makeUserfault(in: try TargetProcess(pid: target.pid))
            #expect(made.userfault.descriptor >= 0)
          }
        }
        try await one.tell("map 1")
        try await other.tell("map 1")
      }
    }
  }

  @Test func leavesAProcessStoppedThatWas() async throws {
    try await MappingTarget.run { target in
      try await target.program.stop()
      var injector = Injector()
      _ = try injector.makeUserfault(in: try TargetProcess(pid: target.pid))
      try await eventually("it stands still again") {
        try String(contentsOfFile: "/proc/\(target.pid)/status", encoding: .utf8).contains(
          "State:\tT (stopped)")
      }
      target.program.resume()
      try await target.tell("map 1")
    }
  }

  @Test func saysWhenADebuggerHasTheProcess() async throws {
    try await MappingTarget.run { target in
      let process = try TargetProcess(pid: target.pid)
      var stopped = try StoppedThreads(of: [process])
      try stopped.stop()
      var injector = Injector()
      do throws(TargetError) {
        _ = try injector.makeUserfault(in: process)
        Issue.record("a thread has but one tracer")
      } catch {
        #expect(error.code == .notTrackable)
        #expect(error.description.contains("debugger") && error.description.contains("EPERM"), "\(error)")
      }
      stopped.resume()
      try await target.tell("map 1")
    }
  }

  /// We end, as it were, while the injector is at a certain step: it goes on to the end, and the process has noticed
  /// nothing.
  @Test(arguments: 0..<SLUICE_INJECTION_STEP_COUNT.rawValue)
  func bringsAnInjectionToItsEndWhenWeHaveEnded(at step: UInt32) async throws {
    // The second is none that it waits at: of it, only the refusal is told.
    guard step != SLUICE_INJECTION_SUSPEND_FILTER.rawValue else { return }
    try await MappingTarget.run { target in
      let before = try TargetState(target.pid)
      do { _ = try HeldInjection(into: target.pid, at: sluice_injection_step(step)) }
      try await eventually("the process is as before") { try TargetState(target.pid) == before }
      try await target.tell("map 1")
    }
  }

  /// The injector itself is killed: before it has changed a thread, and after, that does no harm either.
  @Test(arguments: [SLUICE_INJECTION_STOP, SLUICE_INJECTION_STATE, SLUICE_INJECTION_CALL])
  func harmsNobodyWhenItIsKilled(at step: sluice_injection_step) async throws {
    try await MappingTarget.run { target in
      let before = try TargetState(target.pid)
      let held = try HeldInjection(into: target.pid, at: step)
      let tracer = try #require(try TargetState(target.pid).tracer)
      try #require(tracer > 0 && kill(Int32(tracer), SIGKILL) == 0)
      try await eventually("the process is as before") { try TargetState(target.pid) == before }
      try await target.tell("map 1")
      _ = consume held
    }
  }

  /// We have a quarter of a gigabyte when it is made.
  @Test func holdsNothingOfOurMemory() async throws {
    let size = 256 << 20
    let memory = unsafe try #require(
      mmap(nil, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))
    try #require(unsafe memory != MAP_FAILED)
    defer { unsafe munmap(memory, size) }
    unsafe memset(memory, 1, size)
    #expect(try Self.dirtyKilobytes(of: getpid()) > size >> 10)
    try await MappingTarget.run { target in
      let held = try HeldInjection(into: target.pid, at: SLUICE_INJECTION_STATE)
      let injector = try #require(try TargetState(target.pid).tracer)
      try #require(injector > 0)
      let kept = try Self.dirtyKilobytes(of: Int32(injector))
      #expect(kept > 0 && kept < 4096)
      _ = consume held
      try await eventually("it is let go") { try TargetState(target.pid).tracer == 0 }
      try await target.tell("map 1")
    }
  }

  /// What a process has of memory that is no file's.
  private static func dirtyKilobytes(of pid: Int32) throws -> Int {
    let rollup = try ProcessMemory.text(ofFileAt: "/proc/\(pid)/smaps_rollup")
    let line = try #require(rollup.split(separator: "\n").first { $0.hasPrefix("Anonymous:") })
    return try #require(line.split(separator: " ").dropFirst().first.flatMap { Int($0) })
  }

  /// While the injector lives, what it traces is its own to wait for.
  @Test(arguments: [SLUICE_INJECTION_STATE, SLUICE_INJECTION_FETCH, SLUICE_INJECTION_LET_GO])
  func doesNotKeepTheEndOfAProcessFromItsParent(at step: sluice_injection_step) async throws {
    try await MappingTarget.run { target in
      let held = try HeldInjection(into: target.pid, at: step)
      target.program.send(SIGKILL)
      #expect(sluice_injector_go_on(held.injector) == 0)
      try await eventually("its parent is told that it has ended") { target.program.hasEnded }
      _ = consume held
    }
  }

  @Test func saysThatAFrozenProcessDoesNotRun() async throws {
    guard let cgroup = TestCgroup() else {
      print("skipped: no cgroup of version 2 can be made here")
      return
    }
    try await MappingTarget.run { target in
      let before = try TargetState(target.pid)
      try cgroup.add(target.pid)
      try cgroup.freeze()
      try await eventually("it is frozen") { try cgroup.isFrozen() }
      var injector = Injector()
      do throws(TargetError) {
        _ = try injector.makeUserfault(in: try TargetProcess(pid: target.pid))
        Issue.record("what is frozen makes no call")
      } catch {
        #expect(error.code == .notTrackable)
        #expect(error.description.contains("frozen"), "\(error)")
      }
      #expect(try TargetState(target.pid) == before)
      try cgroup.thaw()
      try await target.tell("map 1")
    }
  }

  /// A thread that was stopped by a signal and then frozen by version 1 does not come to be traced before it is thawed.
  @Test func endsByItselfWhereAThreadCannotBeTraced() async throws {
    guard let freezer = TestFreezer() else {
      print("skipped: no freezer of version 1 here")
      return
    }
    try await MappingTarget.run { target in
      let process = try TargetProcess(pid: target.pid)
      let address = try SyscallInstruction.address(in: process)
      try freezer.add(target.pid)
      target.program.send(SIGSTOP)
      try await eventually("it is stopped") { try ThreadList(of: process).state(of: target.pid) == "T" }
      try freezer.freeze()
      try await eventually("it is frozen") { try freezer.isFrozen() }
      let injector = sluice_injector_start()
      defer { _ = sluice_close(injector) }
      try #require(injector >= 0)
      var injected = Injected()
      let injection = Injection(
        pid: target.pid, thread: target.pid, call_address: address, patience_ns: 50_000_000, wait_at: -1)
      let result = unsafe withUnsafePointer(to: injection) {
        unsafe sluice_inject_userfaultfd(injector, process.pidfd.descriptor, $0, &injected)
      }
      #expect(result == -EPIPE)
      // The kernel closes the files of a process that ends before it lets go of what that traces.
      try await eventually("nothing traces it") { ProcessMemory.status("TracerPid", of: target.pid) == 0 }
      try freezer.thaw()
      target.program.resume()
      try await target.tell("map 1")
    }
  }

  @Test func takesOneOfAThousandThreads() async throws {
    try await MemoryTarget.run(["--size", "1M", "--sleepers", "1000"]) { target in
      let before = try TargetState(target.pid)
      var injector = Injector()
      let made = try injector.makeUserfault(in: try TargetProcess(pid: target.pid))
      #expect(sluice_userfault_enable(made.userfault.descriptor) == 0)
      #expect(try TargetState(target.pid) == before)
      try await target.check()
    }
  }

  /// The only thread waits for a child of vfork, and nothing but its end interrupts that.
  @Test func saysThatAThreadDoesNotStandStill() async throws {
    try await ThreadTarget.run(["--first-vforks"]) { target in
      try await eventually("it waits for its child") { try target.threads().map(\.state) == ["D"] }
      var injector = Injector()
      do throws(TargetError) {
        _ = try injector.makeUserfault(in: try TargetProcess(pid: target.pid))
        Issue.record("nothing interrupts this wait")
      } catch {
        #expect(error.code == .notTrackable)
        #expect(error.description.contains("does not stop: ETIMEDOUT"), "\(error)")
      }
      try await eventually("it is traced no longer") {
        try target.threads().allSatisfy { thread in
          let status = try String(
            contentsOfFile: "/proc/\(target.pid)/task/\(thread.id)/status", encoding: .utf8)
          return status.contains("TracerPid:\t0\n")
        }
      }
    }
  }
}

/// An injection into the first thread of a process that waits at a step. When it goes, we have ended for the injector.
private struct HeldInjection: ~Copyable {
  /// Speaks to the injector.
  let injector: Int32

  init(into pid: Int32, at step: sluice_injection_step) throws {
    injector = sluice_injector_start()
    let process = try TargetProcess(pid: pid)
    try #require(injector >= 0)
    var injected = Injected()
    var injection = Injection(
      pid: pid, thread: pid, call_address: try SyscallInstruction.address(in: process),
      patience_ns: 1_000_000_000,
      wait_at: Int32(step.rawValue))
    let result = unsafe sluice_inject_userfaultfd(injector, process.pidfd.descriptor, &injection, &injected)
    #expect(result == -EINPROGRESS && injected.step == step.rawValue)
  }

  deinit { _ = sluice_close(injector) }
}
