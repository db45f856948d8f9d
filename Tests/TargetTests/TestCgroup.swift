import Foundation

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

  func freeze() throws { try "1".write(toFile: "\(path)/cgroup.freeze", atomically: false, encoding: .utf8) }

  func thaw() throws { try "0".write(toFile: "\(path)/cgroup.freeze", atomically: false, encoding: .utf8) }

  func isFrozen() throws -> Bool {
    try String(contentsOfFile: "\(path)/cgroup.events", encoding: .utf8).contains("frozen 1")
  }
}
