import CSluiceLinux
import Foundation
import SluiceTestSupport
import Synchronization
import Testing

@testable import SluiceTarget

@Suite("Frozen cgroup", .serialized, .timeLimit(.minutes(15)))
struct FrozenCgroupTests {
  @Test func `freezes, and thaws on every path`() async throws {
    guard let cgroup = TestCgroup() else {
      print("skipped: no cgroup of version 2 can be made here")
      return
    }
    try await MemoryTarget.run(["--size", "1M", "--write-rate", "max"]) { target in
      try cgroup.add(target.pid)
      let process = try TargetProcess(pid: target.pid)
      do {
        var frozen = try FrozenCgroup.open(path: cgroup.path, report: record)
        #expect(try frozen.members().holds(process))
        #expect(try !cgroup.isFrozen())
        try frozen.freeze()
        #expect(try cgroup.isFrozen())
        frozen.thaw()
        #expect(try !cgroup.isFrozen())
        try frozen.freeze()
        #expect(try cgroup.isFrozen())
        // Not thawed: it goes out of scope.
      }
      #expect(try !cgroup.isFrozen())
      try await target.check()
    }
  }

  /// Its thread is in the kernel for ever, as it seems: then not even SIGKILL ends us.
  @Test func `is thawed by the guard when nobody else does it in time`() async throws {
    guard let cgroup = TestCgroup() else {
      print("skipped: no cgroup of version 2 can be made here")
      return
    }
    try await MemoryTarget.run(["--size", "1M"]) { target in
      try cgroup.add(target.pid)
      var frozen = try FrozenCgroup.open(path: cgroup.path, report: record)
      try frozen.freeze(within: StoppedThreads.patience, StopLease(limit: .milliseconds(100)))
      #expect(try cgroup.isFrozen())
      try await target.check()
      // The guard is of use for the next time.
      try frozen.freeze(within: StoppedThreads.patience, StopLease(limit: .seconds(600)))
      #expect(try cgroup.isFrozen())
      try frozen.leaveFrozen()
      #expect(try cgroup.isFrozen())
      try cgroup.thaw()
      try await target.check()
    }
  }

  @Test func `one that is frozen already is left so`() async throws {
    guard let cgroup = TestCgroup() else {
      print("skipped: no cgroup of version 2 can be made here")
      return
    }
    try await MemoryTarget.run(["--size", "1M"]) { target in
      try cgroup.add(target.pid)
      try cgroup.freeze()
      try await eventually("it is frozen") { try cgroup.isFrozen() }
      do {
        var frozen = try FrozenCgroup.open(path: cgroup.path, report: record)
        try frozen.freeze()
        frozen.thaw()
      }
      #expect(try cgroup.isFrozen())
      try cgroup.thaw()
    }
  }

  /// A program that freezes, and is killed before it thaws: the guard does.
  @Test func `is thawed when we are killed`() async throws {
    guard let cgroup = TestCgroup() else {
      print("skipped: no cgroup of version 2 can be made here")
      return
    }
    let path = cgroup.path
    unsafe setenv("SLUICE_TEST_CGROUP", path, 1)
    try await MemoryTarget.run(["--size", "1M"]) { target in
      try cgroup.add(target.pid)
      await #expect(processExitsWith: .signal(SIGKILL)) {
        let path = try #require(ProcessInfo.processInfo.environment["SLUICE_TEST_CGROUP"])
        var frozen = try FrozenCgroup.open(path: path) { _ in }
        try frozen.freeze()
        let events = try String(contentsOfFile: "\(path)/cgroup.events", encoding: .utf8)
        // Were it not frozen, the thaw would prove nothing.
        guard events.contains("frozen 1") else { exit(1) }
        kill(getpid(), SIGKILL)
        frozen.thaw()
      }
      try await eventually("the guard has thawed it") { try !cgroup.isFrozen() }
      try await target.check()
    }
  }

  /// The guard is not in our cgroup, so that whatever kills all of that leaves it alone.
  @Test func `is thawed when all of our own cgroup is killed`() async throws {
    guard let cgroup = TestCgroup(), let own = TestCgroup(),
      FileManager.default.fileExists(atPath: "\(own.path)/cgroup.kill")
    else {
      print("skipped: no cgroup of version 2 with cgroup.kill can be made here")
      return
    }
    try await MemoryTarget.run(["--size", "1M"]) { target in
      try cgroup.add(target.pid)
      await #expect(processExitsWith: .signal(SIGKILL)) {
        [path = cgroup.path as String, own = own.path as String] in
        try "0".write(toFile: "\(own)/cgroup.procs", atomically: false, encoding: .utf8)
        var frozen = try FrozenCgroup.open(path: path) { _ in }
        try frozen.freeze()
        let events = try String(contentsOfFile: "\(path)/cgroup.events", encoding: .utf8)
        // Were it not frozen, the thaw would prove nothing.
        guard events.contains("frozen 1") else { exit(1) }
        try "1".write(toFile: "\(own)/cgroup.kill", atomically: false, encoding: .utf8)
        // Until the kernel comes to it.
        pause()
        frozen.thaw()
      }
      try await eventually("the guard has thawed it") { try !cgroup.isFrozen() }
      try await target.check()
    }
  }

  @Test func `what is no cgroup is refused`() throws {
    for path in ["/", "/nowhere", "/proc"] {
      #expect(throws: TargetError.self) { _ = try FrozenCgroup.open(path: path, report: record) }
    }
  }

  @Test(.enabled(if: geteuid() == 0)) func `a link on the way that is not followed is named`() async throws {
    try await withTemporaryDirectory { directory in
      let link = "\(directory)/way"
      #expect(unsafe chmod(directory, 0o777) == 0 && symlink("/sys/fs/cgroup", link) == 0)
      #expect(unsafe lchown(link, 4711, 4711) == 0)
      let error = #expect(throws: TargetError.self) {
        _ = try FrozenCgroup.open(path: "\(link)/none", report: record)
      }
      #expect(error?.code == .invalidCgroup)
      let message = error?.description ?? ""
      #expect(message.contains("the link way in \(link)/none is not followed"), "\(message)")
    }
  }

  // MARK: What others do

  /// What a cgroup above asks for ends when its owner likes.
  @Test func `is frozen by us where one above is`() async throws {
    guard let above = TestCgroup() else {
      print("skipped: no cgroup of version 2 can be made here")
      return
    }
    let cgroup = try TestCgroup("below", below: above)
    try await MemoryTarget.run(["--size", "1M", "--write-rate", "max"]) { target in
      try cgroup.add(target.pid)
      try above.freeze()
      try await eventually("it is frozen") { try cgroup.isFrozen() }
      do {
        var frozen = try FrozenCgroup.open(path: cgroup.path, report: record)
        try frozen.freeze()
        #expect(try cgroup.asksForFreezing())
        let processes = [try TargetProcess(pid: target.pid)]
        let times = ProcessTimes(of: processes)
        try above.thaw()
        try above.freeze()
        try above.thaw()
        #expect(try cgroup.isFrozen())
        #expect(try frozen.stoodStill(processes, since: times))
      }
      #expect(try !cgroup.asksForFreezing())
      try await target.check()
    }
  }

  /// cgroup.events says the same before and after, and may not even have said that it changed.
  @Test(arguments: [true, false])
  func `a thaw by somebody else is noticed`(isFrozenAgain: Bool) async throws {
    guard let cgroup = TestCgroup() else {
      print("skipped: no cgroup of version 2 can be made here")
      return
    }
    try await MemoryTarget.run(["--size", "1M", "--write-rate", "max"]) { target in
      try cgroup.add(target.pid)
      var frozen = try FrozenCgroup.open(path: cgroup.path, report: record)
      try frozen.freeze()
      let processes = [try TargetProcess(pid: target.pid)]
      let times = ProcessTimes(of: processes)
      #expect(try frozen.stoodStill(processes, since: times))
      try cgroup.thaw()
      try await eventually("it has run") { !times.areStill }
      if isFrozenAgain {
        try cgroup.freeze()
        try await eventually("it is frozen again") { try cgroup.isFrozen() }
      }
      #expect(try !frozen.stoodStill(processes, since: times))
      #expect(try cgroup.asksForFreezing() == isFrozenAgain)
      // Again, from the start.
      try frozen.freeze()
      let again = ProcessTimes(of: processes)
      #expect(try frozen.stoodStill(processes, since: again))
      frozen.thaw()
      #expect(try !cgroup.asksForFreezing())
      try await target.check()
    }
  }

  @Test(arguments: [true, false])
  func `a process that somebody moves out of it is noticed`(comesBack: Bool) async throws {
    guard let cgroup = TestCgroup() else {
      print("skipped: no cgroup of version 2 can be made here")
      return
    }
    let inner = try TestCgroup("inner", below: cgroup)
    try await MemoryTarget.run(["--size", "1M", "--write-rate", "max"]) { target in
      try inner.add(target.pid)
      var frozen = try FrozenCgroup.open(path: cgroup.path, report: record)
      try frozen.freeze()
      let processes = [try TargetProcess(pid: target.pid)]
      #expect(try frozen.members().holds(processes[0]))
      let times = ProcessTimes(of: processes)
      try cgroup.putOut(target.pid)
      try await eventually("it has run") { !times.areStill }
      if comesBack {
        try inner.add(target.pid)
        try await eventually("it is frozen again") { try cgroup.isFrozen() }
      }
      #expect(try !frozen.stoodStill(processes, since: times))
      frozen.thaw()
      try await target.check()
    }
  }

  /// The kernel has a frozen thread look at each signal, so that time passes on its account.
  @Test func `signals are no thaw`() async throws {
    guard let cgroup = TestCgroup() else {
      print("skipped: no cgroup of version 2 can be made here")
      return
    }
    try await ThreadTarget.run(["--spin", "2", "--signals"]) { target in
      try cgroup.add(target.pid)
      var frozen = try FrozenCgroup.open(path: cgroup.path, report: record)
      try frozen.freeze()
      let processes = [try TargetProcess(pid: target.pid)]
      let before = try target.spins(2)
      let times = ProcessTimes(of: processes)
      try await eventually("the kernel was busy with it") {
        kill(target.pid, Int32(__libc_current_sigrtmin()))
        return !times.areStill
      }
      #expect(try frozen.stoodStill(processes, since: times))
      #expect(try target.spins(2) == before)
      frozen.thaw()
      try await target.untilAllSpin(2)
    }
  }

  @Test func `who is to find it frozen for good is told when it is not`() async throws {
    guard let cgroup = TestCgroup() else {
      print("skipped: no cgroup of version 2 can be made here")
      return
    }
    try await MemoryTarget.run(["--size", "1M"]) { target in
      try cgroup.add(target.pid)
      var frozen = try FrozenCgroup.open(path: cgroup.path, report: record)
      try frozen.freeze()
      try cgroup.thaw()
      #expect(throws: TargetError.self) { try frozen.leaveFrozen() }
      try frozen.freeze()
      try frozen.leaveFrozen()
      frozen.thaw()
      #expect(try cgroup.asksForFreezing())
    }
  }

  @Test func `one that is removed is no reason to wait`() throws {
    guard let above = TestCgroup() else {
      print("skipped: no cgroup of version 2 can be made here")
      return
    }
    let path: String
    var frozen: FrozenCgroup
    do {
      let cgroup = try TestCgroup("removed", below: above)
      path = cgroup.path
      frozen = try FrozenCgroup.open(path: path, report: record)
    }
    #expect(throws: TargetError.self) { try frozen.freeze() }
    #expect(throws: TargetError.self) { _ = try FrozenCgroup.open(path: path, report: record) }
  }

  // MARK: Who is in it

  /// Told by the kernel, whatever the name.
  @Test func `holds what is in it or below, and not what is in another of the same name`() async throws {
    guard let one = TestCgroup(), let other = TestCgroup() else {
      print("skipped: no cgroup of version 2 can be made here")
      return
    }
    let cgroup = try TestCgroup("main", below: one)
    let namesake = try TestCgroup("main", below: other)
    let inner = try TestCgroup("inner", below: cgroup)
    try await MemoryTarget.run(["--size", "1M"]) { target in
      let process = try TargetProcess(pid: target.pid)
      for (holder, isHeld) in [
        (cgroup.path, true), (inner.path, true), (namesake.path, false), (one.path, false),
      ] {
        try "\(target.pid)".write(toFile: "\(holder)/cgroup.procs", atomically: false, encoding: .utf8)
        #expect(try FrozenCgroup.members(ofCgroupAt: cgroup.path).holds(process) == isHeld, "\(holder)")
      }
    }
  }

  /// Of a threaded cgroup the kernel lists no processes, and a process may be in it in part.
  @Test func `a threaded one holds a process that has all of its threads in it`() async throws {
    guard let cgroup = TestCgroup() else {
      print("skipped: no cgroup of version 2 can be made here")
      return
    }
    let half = try TestCgroup("half", below: cgroup)
    let rest = try TestCgroup("rest", below: cgroup)
    try half.write("threaded", to: "cgroup.type")
    try rest.write("threaded", to: "cgroup.type")
    try await ThreadTarget.run(["--spin", "1"]) { target in
      try cgroup.add(target.pid)
      let process = try TargetProcess(pid: target.pid)
      let threads = try target.threads().map(\.id)
      try #require(threads.count > 1)
      try half.write("\(threads[0])", to: "cgroup.threads")
      #expect(try !FrozenCgroup.members(ofCgroupAt: half.path).holds(process))
      #expect(try FrozenCgroup.members(ofCgroupAt: cgroup.path).holds(process))
      for thread in threads { try half.write("\(thread)", to: "cgroup.threads") }
      #expect(try FrozenCgroup.members(ofCgroupAt: half.path).holds(process))
      #expect(try !FrozenCgroup.members(ofCgroupAt: rest.path).holds(process))
    }
  }

  @Test func `others in it are told apart from the tree`() async throws {
    guard let cgroup = TestCgroup() else {
      print("skipped: no cgroup of version 2 can be made here")
      return
    }
    try await TreeTarget.run([["--size", "1M"]]) { target in
      try await MemoryTarget.run(["--size", "1M"]) { guest in
        var tree = try ProcessTree(root: target.pid)
        for process in tree.processes { try cgroup.add(process.pid) }
        #expect(try tree.lookAround(in: cgroup.path).isEmpty)
        try cgroup.add(guest.pid)
        var stopped = try StoppedTree(of: tree, freezing: cgroup.path, report: record)
        try stopped.stop(&tree)
        stopped.resume()
        #expect(tree.skipped.map(\.pid) == [guest.pid])
        #expect(try tree.lookAround(in: cgroup.path).isEmpty, "it is known by now")
      }
    }
  }

  // MARK: A thaw that fails

  @Test(arguments: [1, Int.max])
  func `a thaw that fails is tried again, then told, and left to the guard`(failures: Int) async throws {
    guard let cgroup = TestCgroup() else {
      print("skipped: no cgroup of version 2 can be made here")
      return
    }
    try await MemoryTarget.run(["--size", "1M"]) { target in
      try cgroup.add(target.pid)
      let told = Mutex([String]())
      do {
        var frozen = try FrozenCgroup.open(path: cgroup.path) { error in
          told.withLock { $0.append("\(error)") }
        }
        try frozen.freeze()
        FailingWrites.start(failures)
        defer { FailingWrites.stop() }
        frozen.thaw()
        #expect(try cgroup.isFrozen() == (failures > 1))
      }
      let message = told.withLock { $0 }
      #expect(message.count == (failures > 1 ? 1 : 0))
      #expect(message.allSatisfy { $0.contains("\(cgroup.path)/cgroup.freeze") && $0.contains("EIO") })
      try await eventually("the guard has thawed it") { try !cgroup.isFrozen() }
      try await target.check()
    }
  }
}

/// A thaw that fails where none should.
private func record(_ error: TargetError) { Issue.record("\(error)") }

/// Has the next writes of this thread fail.
private enum FailingWrites {
  private static let thread = Atomic<Int32>(0)
  private static let left = Atomic<Int>(0)

  static func start(_ count: Int) {
    left.store(count, ordering: .relaxed)
    thread.store(sluice_thread_id(), ordering: .relaxed)
    unsafe sluice_set_fault_handler { site, _ in FailingWrites.error(at: site) }
  }

  static func stop() { sluice_set_fault_handler(nil) }

  private static func error(at site: sluice_fault_site) -> Int32 {
    guard site == SLUICE_FAULT_WRITE, sluice_thread_id() == thread.load(ordering: .relaxed),
      left.load(ordering: .relaxed) > 0
    else { return 0 }
    left.subtract(1, ordering: .relaxed)
    return EIO
  }
}
