import Foundation

/// A line of /proc/PID/maps, taken apart in the plainest way.
public struct MapsLine: Hashable, Sendable {
  /// The first address.
  public let start: UInt64
  /// The address after the last.
  public let end: UInt64
  /// Such as "rw-p".
  public let permissions: String
  /// Where in the file it begins, in bytes.
  public let offset: UInt64
  /// The inode of the mapped file, or 0.
  public let inode: UInt64
  /// The path, a name in brackets, or nothing.
  public let name: String
}

/// What /proc tells of a process, for tests to compare with.
public enum ProcessMemory {
  /// The size of a page in bytes.
  public static let pageSize = UInt64(sysconf(Int32(_SC_PAGESIZE)))

  /// All mappings of a process, which should be stopped, or the list is no snapshot.
  public static func mappings(of pid: Int32) throws -> [MapsLine] {
    return try text(ofFileAt: "/proc/\(pid)/maps").split(separator: "\n").map { line in
      let words = line.split(separator: " ", maxSplits: 5, omittingEmptySubsequences: true)
      let bounds = words[0].split(separator: "-").compactMap { UInt64($0, radix: 16) }
      guard bounds.count == 2, words.count >= 5, let offset = UInt64(words[2], radix: 16),
        let inode = UInt64(words[4])
      else {
        throw TestFailure("a line of maps: \(line)")
      }
      return MapsLine(
        start: bounds[0], end: bounds[1], permissions: String(words[1]), offset: offset, inode: inode,
        name: words.count > 5 ? words[5].drop(while: { $0 == " " }).description : "")
    }
  }

  /// All of a file below /proc: Foundation takes its size, which is 0, for all there is to read, and reads but one block.
  public static func text(ofFileAt path: String) throws -> String {
    try open(path).readText()
  }

  /// The entries of /proc/PID/pagemap for the pages from `start` to `end`.
  public static func pagemapEntries(of pid: Int32, from start: UInt64, to end: UInt64) throws -> [UInt64] {
    let file = try open("/proc/\(pid)/pagemap")
    return try stride(from: start, to: end, by: Int(pageSize)).map { address in
      var entry: UInt64 = 0
      guard unsafe pread(file.number, &entry, 8, off_t(address / pageSize * 8)) == 8 else {
        throw TestFailure.systemCall("reading /proc/\(pid)/pagemap")
      }
      return entry
    }
  }

  /// 64-bit words of the memory of a process.
  public static func words(of pid: Int32, at address: UInt64, count: Int) throws -> [UInt64] {
    let file = try open("/proc/\(pid)/mem")
    var words = [UInt64](repeating: 0, count: count)
    guard unsafe pread(file.number, &words, 8 * count, off_t(address)) == 8 * count else {
      throw TestFailure.systemCall("reading the memory of \(pid)")
    }
    return words
  }

  /// The flags of physical pages, as Documentation/admin-guide/mm/pagemap.rst numbers them.
  public static func frameFlags(of frames: [UInt64]) throws -> [UInt64] {
    let file = try open("/proc/kpageflags")
    return try frames.map { frame in
      var flags: UInt64 = 0
      guard unsafe pread(file.number, &flags, 8, off_t(frame * 8)) == 8 else {
        throw TestFailure.systemCall("reading /proc/kpageflags")
      }
      return flags
    }
  }

  /// A number in /proc/PID/status, such as VmHWM in KiB; nil when the process has ended.
  public static func status(_ field: String, of pid: Int32) -> Int? {
    guard let text = try? String(contentsOfFile: "/proc/\(pid)/status", encoding: .utf8) else { return nil }
    for line in text.split(separator: "\n") where line.hasPrefix("\(field):") {
      return line.split(whereSeparator: { $0 == "\t" || $0 == " " }).dropFirst().first.flatMap { Int($0) }
    }
    return nil
  }

  private static func open(_ path: String) throws -> Descriptor {
    let number = unsafe Glibc.open(path, O_RDONLY | O_CLOEXEC)
    guard number >= 0 else { throw TestFailure.systemCall("opening \(path)") }
    return Descriptor(number)
  }
}
