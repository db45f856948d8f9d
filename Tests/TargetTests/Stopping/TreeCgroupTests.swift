import SluiceTestSupport
import Testing

@testable import SluiceTarget

@Suite("Cgroup of a tree", .serialized, .timeLimit(.minutes(5)))
struct TreeCgroupTests {
  @Test(arguments: [
    ("0::/system.slice/a.service\n", "/system.slice/a.service"),
    ("12:cpu:/x\n1:name=systemd:/y\n0::/a b\n", "/a b"),
    // The first of all; another namespace's; removed; none of version 2.
    ("0::/\n", nil), ("0::/../other\n", nil), ("0::/a (deleted)\n", nil), ("4:freezer:/a\n", nil), ("", nil),
  ])
  func isToldByTheProcess(text: String, expected: String?) {
    #expect(TreeCgroup.path(inProcFile: text) == expected)
  }

  @Test(arguments: [
    ("30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n", "/a/b", "/sys/fs/cgroup/a/b"),
    // A mount of a part of it.
    ("30 23 0:26 /a /mnt rw - cgroup2 none rw\n", "/a/b", "/mnt/b"),
    ("30 23 0:26 /a /mnt rw - cgroup2 none rw\n", "/a", "/mnt"),
    ("30 23 0:26 /a /mnt rw - cgroup2 none rw\n", "/ab", nil),
    ("30 23 0:26 / /with\\040blank rw - cgroup2 none rw\n", "/a", "/with blank/a"),
    ("30 23 0:26 / /sys/fs/cgroup/freezer rw - cgroup cgroup rw,freezer\n", "/a", nil), ("", "/a", nil),
    ("30 23 0:26 / /first rw - cgroup2 none rw\n31 23 0:26 / /last rw - cgroup2 none rw\n", "/a", "/last/a"),
  ])
  func isFoundWhereItIsMounted(mounts: String, path: String, expected: String?) {
    #expect(TreeCgroup.directory(of: path, inMountInfo: mounts) == expected)
  }

  @Test func isTheOneThatHoldsTheTreeAndNobodyElse() async throws {
    guard let cgroup = TestCgroup() else {
      print("skipped: no cgroup of version 2 can be made here")
      return
    }
    try await MemoryTarget.run(["--size", "1M"]) { target in
      let before = TreeCgroup.find(for: try ProcessTree(root: target.pid))
      #expect(before?.hasPrefix(cgroup.path) != true)
      try cgroup.add(target.pid)
      let tree = try ProcessTree(root: target.pid)
      let found = TreeCgroup.find(for: tree)
      #expect(found == cgroup.path)
      try await MemoryTarget.run(["--size", "1M"]) { other in
        try cgroup.add(other.pid)
        let shared = TreeCgroup.find(for: tree)
        #expect(shared == nil)
      }
    }
  }
}
