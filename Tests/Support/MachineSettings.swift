import Foundation

// What only root may do to the machine. Each is undone when `body` has ended.

/// Runs `body` while the kernel has so many more huge pages set aside, for hugetlbfs.
public func withHugePages<Result>(_ count: Int, _ body: () async throws -> Result) async throws -> Result {
  try HugePages.add(count)
  defer { try? HugePages.add(-count) }
  return try await body()
}

private enum HugePages {
  private static let path = "/proc/sys/vm/nr_hugepages"
  /// Tests run at the same time, and each adds to what there is.
  private static let lock = NSLock()

  static func add(_ count: Int) throws {
    try lock.withLock {
      let wanted = try number() + count
      try "\(wanted)".write(toFile: path, atomically: false, encoding: .utf8)
      guard try number() == wanted else {
        throw TestFailure("the kernel has not enough memory in one piece for \(count) huge pages")
      }
    }
  }

  private static func number() throws -> Int {
    let text = try String(contentsOfFile: path, encoding: .utf8)
    guard let number = Int(text.dropLast()) else { throw TestFailure("\(path): \(text)") }
    return number
  }
}

/// Runs `body` with a directory that a new filesystem of this type is mounted on.
public func withMount<Result>(
  _ type: String, _ body: (String) async throws -> Result
) async throws -> Result {
  try await withTemporaryDirectory { directory in
    let mounted = try await Command(installed: "mount", ["-t", type, "sluice-test", directory]).run()
    guard mounted.end == .exited(0) else { throw TestFailure("mounting a \(type): \(mounted.errors)") }
    // Lazily: a test that failed may still hold a file open.
    defer { unsafe _ = umount2(directory, Int32(MNT_DETACH)) }
    return try await body(directory)
  }
}

/// Swap space in a file, for tests that have a process' pages put there.
public enum SwapFile {
  private static let mebibytes = 16

  /// Whether this machine lets us have one: it takes root, and a filesystem that has room for it on a disk.
  public static var isPossible: Bool {
    get async {
      guard geteuid() == 0 else { return false }
      return (try? await with { true }) == true
    }
  }

  /// Runs `body` while there is swap space.
  public static func with<Result>(_ body: () async throws -> Result) async throws -> Result {
    try await withTemporaryDirectory { directory in
      let path = "\(directory)/swap"
      let file = unsafe creat(path, 0o600)
      guard file >= 0 else { throw TestFailure.systemCall("making \(path)") }
      let error = posix_fallocate(file, 0, off_t(mebibytes << 20))
      close(file)
      guard error == 0 else { throw TestFailure.systemCall("allocating \(path)", errno: error) }
      try await run("mkswap", path)
      try await run("swapon", path)
      do {
        let result = try await body()
        try await run("swapoff", path)
        return result
      } catch {
        try await run("swapoff", path)
        throw error
      }
    }
  }

  private static func run(_ program: String, _ path: String) async throws {
    let result = try await Command(installed: program, [path]).run()
    guard result.end == .exited(0) else { throw TestFailure("\(program) \(path): \(result.errors)") }
  }
}

/// Runs `body` while the kernel looks for pages to merge (KSM), and quickly.
public func withMerging<Result>(_ body: () async throws -> Result) async throws -> Result {
  let settings = [("sleep_millisecs", "5"), ("pages_to_scan", "5000"), ("run", "1")]
  var before: [(path: String, value: String)] = []
  defer {
    // Pages that are merged stay so until their processes end.
    for (path, value) in before.reversed() {
      try? value.write(toFile: path, atomically: false, encoding: .utf8)
    }
  }
  for (name, value) in settings {
    let path = "/sys/kernel/mm/ksm/\(name)"
    before.append((path, try String(contentsOfFile: path, encoding: .utf8)))
    try value.write(toFile: path, atomically: false, encoding: .utf8)
  }
  return try await body()
}
