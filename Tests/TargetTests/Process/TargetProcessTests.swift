import Foundation
import SluiceTestSupport
import Testing

@testable import SluiceTarget

@Suite("Target process", .timeLimit(.minutes(15)))
struct TargetProcessTests {
  private func refusal(_ pid: Int32) -> TargetError? {
    #expect(throws: TargetError.self) { _ = try TargetProcess(pid: pid) }
  }

  @Test func knowsTheProcess() async throws {
    try await MappingTarget.run { target in
      try await target.tell("name a (b) c")
      let process = try TargetProcess(pid: target.pid)
      #expect(process.pid == target.pid)
      #expect(process.namespacePid == target.pid)
      #expect(process.command == "a (b) c")
      let stat = try String(contentsOfFile: "/proc/\(target.pid)/stat", encoding: .utf8)
      // Field 22; the name's own two words come before it.
      #expect(stat.split(separator: " ")[21 + 2] == "\(process.startTime)")
      try process.checkStillTheSame()
    }
  }

  @Test(arguments: [0, -1, Int32.min])
  func refusesWhatIsNoPid(pid: Int32) {
    #expect(refusal(pid)?.code == .invalidPid)
  }

  @Test func refusesItself() {
    let error = refusal(getpid())
    #expect(error?.code == .invalidPid)
    #expect(error?.description.contains("itself") == true)
  }

  /// Root, who has the capability, is told of something else than to be root.
  @Test func advisesWhatIsMissing() {
    func advice(_ canTrace: Bool, _ scope: Int) -> String {
      TargetProcess.permissionAdvice(canTrace: canTrace, ptraceScope: scope)
    }
    #expect(advice(false, 0) == "run sluice as root (sudo) or with CAP_SYS_PTRACE, or as the same user")
    #expect(advice(false, 1).hasSuffix("or as the same user and with kernel.yama.ptrace_scope 0 (it is 1)"))
    #expect(!advice(true, 1).contains("root") && advice(true, 1).contains("user namespace"))
    #expect(advice(true, 3) == "kernel.yama.ptrace_scope is 3: reboot with a lower one")
  }

  @Test func refusesAPidThatNobodyHas() {
    // One more than the kernel ever gives.
    #expect(refusal(1 << 22)?.code == .noSuchProcess)
    #expect(refusal(Int32.max)?.code == .noSuchProcess)
  }

  @Test func refusesAThread() async throws {
    try await MappingTarget.run { target in
      let thread = try await target.tell("thread")
      let error = refusal(Int32(thread))
      #expect(error?.code == .noSuchProcess)
      #expect(error?.description.contains("use \(target.pid)") == true, "the message names the process")
    }
  }

  @Test func refusesAKernelThread() throws {
    let name = try String(contentsOfFile: "/proc/2/comm", encoding: .utf8)
    try #require(name == "kthreadd\n", "in a pid namespace there are no kernel threads to try it with")
    let error = refusal(2)
    #expect(error?.code == .noSuchProcess)
    #expect(error?.description.contains("kernel thread") == true)
  }

  @Test func refusesAZombie() async throws {
    try await MappingTarget.run { target in
      let zombie = try await target.tell("zombie")
      let error = refusal(Int32(zombie))
      #expect(error?.code == .noSuchProcess)
      #expect(error?.description.contains("zombie") == true)
    }
  }

  @Test func noticesTheEnd() async throws {
    try await MappingTarget.run { target in
      let process = try TargetProcess(pid: target.pid)
      try await target.exit()
      let error = #expect(throws: TargetError.self) { try process.checkStillTheSame() }
      #expect(error?.code == .gone)
    }
  }

  /// Dead, but not yet waited for: the pid is still there, the memory is not.
  @Test func noticesDeathBeforeAnybodyWaits() async throws {
    try await MappingTarget.run { target in
      let process = try TargetProcess(pid: target.pid)
      target.program.send(SIGKILL)
      try await target.program.untilEnded()
      let error = #expect(throws: TargetError.self) { try process.checkStillTheSame() }
      #expect(error?.code == .gone)
      #expect(refusal(target.pid)?.code == .noSuchProcess)
    }
  }

  /// A process that is being ended loses its memory first, and lives on for as long as that takes.
  @Test func noticesDeathWhileItHappens() async throws {
    for _ in 0..<5 {
      try await MappingTarget.run { target in
        _ = try await target.map(pages: 16 << 10)
        let process = try TargetProcess(pid: target.pid)
        target.program.send(SIGKILL)
        var seen: TargetError?
        try await eventually("the death is noticed") {
          do throws(TargetError) { try process.checkStillTheSame() } catch { seen = error }
          return seen != nil
        }
        #expect(seen?.code == .gone)
        #expect(seen?.description.contains("ended") == true, "\(seen?.description ?? "")")
      }
    }
  }

  @Test func noticesAnotherProgram() async throws {
    try await MappingTarget.run { target in
      let process = try TargetProcess(pid: target.pid)
      try await target.tell("exec")
      let error = #expect(throws: TargetError.self) { try process.checkStillTheSame() }
      #expect(error?.code == .gone)
      #expect(error?.description.contains("another program") == true)
      try TargetProcess(pid: target.pid).checkStillTheSame()
    }
  }

  /// Its memory lives on with another process, so that its end says nothing.
  @Test func noticesAnotherProgramOfOneThatSharesItsMemory() async throws {
    try await MappingTarget.run { target in
      let child = Int32(try await target.tell("share-memory"))
      let process = try TargetProcess(pid: child)
      try process.checkStillTheSame()
      // Before it waits for the signal, that would end it.
      try await eventually("it waits") {
        try String(contentsOfFile: "/proc/\(child)/stat", encoding: .utf8).contains(") S ")
      }
      kill(child, SIGUSR1)
      try await eventually("it executed another program") {
        try String(contentsOfFile: "/proc/\(child)/comm", encoding: .utf8) == "sleep\n"
      }
      let error = #expect(throws: TargetError.self) { try process.checkStillTheSame() }
      #expect(error?.code == .gone)
      #expect(error?.description.contains("another program (sleep)") == true)
    }
  }

  /// Others run on, but what the pid leads to is nothing any more.
  @Test func refusesAProcessWithoutMainThread() async throws {
    try await MappingTarget.run { target in
      let process = try TargetProcess(pid: target.pid)
      try await target.tell("leave-main-thread")
      let error = refusal(target.pid)
      #expect(error?.code == .noSuchProcess)
      #expect(error?.description.contains("main thread") == true)
      // What was opened before still has its memory.
      try process.checkStillTheSame()
    }
  }
}
