import Foundation

/// A cgroup of version 2 for a test; nil where there are none to be made.
public struct TestCgroup: ~Copyable, Sendable {
  /// Its directory.
  public let path: String

  /// Makes one.
  public init?() {
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

  /// One below another.
  public init(_ name: String, below parent: borrowing TestCgroup) throws {
    path = "\(parent.path)/\(name)"
    guard unsafe mkdir(path, 0o755) == 0 else { throw TestFailure("mkdir \(path): errno \(errno)") }
  }

  deinit {
    try? thaw()
    // The kernel lets go of the processes that have ended only a little later.
    for _ in 0..<100 {
      if unsafe rmdir(path) == 0 { break }
      usleep(20_000)
    }
  }

  /// Moves a process into it.
  public func add(_ pid: Int32) throws { try write("\(pid)", to: "cgroup.procs") }

  /// Moves a process to the first cgroup of all, which this one is directly below.
  public func putOut(_ pid: Int32) throws { try write("\(pid)", to: "../cgroup.procs") }

  /// Has it frozen, and does not wait until it is.
  public func freeze() throws { try write("1", to: "cgroup.freeze") }

  /// Has it thawed.
  public func thaw() throws { try write("0", to: "cgroup.freeze") }

  /// Writes to a file in it.
  public func write(_ text: String, to file: String) throws {
    try text.write(toFile: "\(path)/\(file)", atomically: false, encoding: .utf8)
  }

  /// Whether all that it holds stands still.
  public func isFrozen() throws -> Bool {
    try String(contentsOfFile: "\(path)/cgroup.events", encoding: .utf8).contains("frozen 1")
  }

  /// What its own cgroup.freeze asks for, whatever those above do.
  public func asksForFreezing() throws -> Bool {
    try String(contentsOfFile: "\(path)/cgroup.freeze", encoding: .utf8).hasPrefix("1")
  }
}

/// A cgroup with the freezer of version 1 for a test; nil where there are none to be made.
public struct TestFreezer: ~Copyable, Sendable {
  /// Its directory.
  public let path: String

  /// Makes one.
  public init?() {
    path = "/sys/fs/cgroup/freezer/sluice-test-\(UUID())"
    guard unsafe mkdir(path, 0o755) == 0 else { return nil }
    guard FileManager.default.fileExists(atPath: "\(path)/freezer.state") else {
      unsafe rmdir(path)
      return nil
    }
  }

  deinit {
    try? thaw()
    for _ in 0..<100 {
      if unsafe rmdir(path) == 0 { break }
      usleep(20_000)
    }
  }

  /// Moves a process into it.
  public func add(_ pid: Int32) throws { try write("\(pid)", to: "cgroup.procs") }

  /// Has it frozen, and does not wait until it is.
  public func freeze() throws { try write("FROZEN", to: "freezer.state") }

  /// Has it thawed.
  public func thaw() throws { try write("THAWED", to: "freezer.state") }

  /// Whether all that it holds stands still.
  public func isFrozen() throws -> Bool {
    try String(contentsOfFile: "\(path)/freezer.state", encoding: .utf8).hasPrefix("FROZEN")
  }

  private func write(_ text: String, to file: String) throws {
    try text.write(toFile: "\(path)/\(file)", atomically: false, encoding: .utf8)
  }
}
