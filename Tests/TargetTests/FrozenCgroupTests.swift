import CSluiceLinux
import Foundation
import SluiceTestSupport
import Testing

@testable import SluiceTarget

@Suite("Frozen cgroup", .serialized, .timeLimit(.minutes(5)))
struct FrozenCgroupTests {
  @Test(arguments: [
    ("/sys/fs/cgroup/a/b", "/a/b", true), ("/sys/fs/cgroup/a/b", "/a/b/c", true),
    ("/sys/fs/cgroup/a/b", "/a", false), ("/sys/fs/cgroup/a/b", "/a/bc", false),
    ("/sys/fs/cgroup/a/b", "/", false), ("/sys/fs/cgroup/unified/x", "/x/y/z", true),
    // In a cgroup namespace of our own.
    ("/mnt/pod/main", "/main", true),
  ])
  func `a process is in a cgroup or below it`(directory: String, process: String, isHeld: Bool) {
    #expect(FrozenCgroup.holds(directory: directory, process: process) == isHeld)
  }

  @Test func `freezes, and thaws on every path`() async throws {
    guard let cgroup = TestCgroup() else {
      print("skipped: no cgroup of version 2 can be made here")
      return
    }
    try await MemoryTarget.run(["--size", "1M", "--write-rate", "max"]) { target in
      try cgroup.add(target.pid)
      let process = try TargetProcess(pid: target.pid)
      do {
        var frozen = try FrozenCgroup.open(path: cgroup.path)
        #expect(try frozen.holds(process))
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
        var frozen = try FrozenCgroup.open(path: cgroup.path)
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
        var frozen = try FrozenCgroup.open(path: path)
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

  @Test func `what is no cgroup is refused`() throws {
    for path in ["/", "/nowhere", "/proc"] {
      #expect(throws: TargetError.self) { _ = try FrozenCgroup.open(path: path) }
    }
  }
}
