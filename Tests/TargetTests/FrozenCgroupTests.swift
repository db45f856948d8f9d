import CSluiceLinux
import Foundation
import SluiceTestSupport
import Testing

@testable import SluiceTarget

/// A cgroup of version 2 for a test; nil where there are none to be made.
struct TestCgroup: ~Copyable {
  let path: String

  init?() {
    for mount in ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"] {
      let path = "\(mount)/sluice-test-\(UUID())"
      guard unsafe mkdir(path, 0o755) == 0 else { continue }
      guard FileManager.default.fileExists(atPath: "\(path)/cgroup.freeze") else {
        unsafe rmdir(path)
        continue
      }
      self.path = path
      return
    }
    return nil
  }

  deinit {
    try? thaw()
    // The kernel lets go of the processes that have ended only a little later.
    for _ in 0..<100 where unsafe rmdir(path) != 0 { usleep(20_000) }
  }

  func add(_ pid: Int32) throws {
    try "\(pid)".write(toFile: "\(path)/cgroup.procs", atomically: false, encoding: .utf8)
  }

  func freeze() throws {
    try "1".write(toFile: "\(path)/cgroup.freeze", atomically: false, encoding: .utf8)
  }

  func thaw() throws {
    try "0".write(toFile: "\(path)/cgroup.freeze", atomically: false, encoding: .utf8)
  }

  func isFrozen() throws -> Bool {
    try String(contentsOfFile: "\(path)/cgroup.events", encoding: .utf8).contains("frozen 1")
  }
}

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
      try "1".write(toFile: "\(cgroup.path)/cgroup.freeze", atomically: false, encoding: .utf8)
      try await eventually("it is frozen") { try cgroup.isFrozen() }
      do {
        var frozen = try FrozenCgroup.open(path: cgroup.path)
        try frozen.freeze()
        frozen.thaw()
      }
      #expect(try cgroup.isFrozen())
      try "0".write(toFile: "\(cgroup.path)/cgroup.freeze", atomically: false, encoding: .utf8)
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
