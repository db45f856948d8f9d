/// The lines of a /proc/PID/status, each of which is a key and words: proc_pid_status(5).
struct StatusLines: Sendable {
  private let text: String

  /// - Parameter text: all of the file.
  init(_ text: String) {
    self.text = text
  }

  /// Reads those of a process or a thread.
  ///
  /// - Parameter directory: its directory below /proc, such as "/proc/4711" or "/proc/4711/task/4712".
  /// - Throws: the errno, which only the caller can explain: ENOENT or ESRCH when it has ended.
  init(ofProcessAt directory: String, access: ProcFile.Access = .read) throws(ProcFile.OpenFailed) {
    self.init(try ProcFile.text(ofFileAt: "\(directory)/status", access: access))
  }

  /// The words behind a key, such as "VmPin"; nil where there is no such line.
  func words(_ key: String) -> [Substring]? {
    for line in text.split(separator: "\n") {
      let parts = line.split(whereSeparator: { $0 == "\t" || $0 == " " })
      if let first = parts.first, first.last == ":", first.dropLast() == key {
        return Array(parts.dropFirst())
      }
    }
    return nil
  }

  /// The only number of a line.
  func number(_ key: String) -> Int? {
    guard let words = words(key), words.count == 1 else { return nil }
    return Int(words[0])
  }

  /// The bits of a line that has them in hexadecimal.
  func bits(_ key: String) -> UInt64? {
    guard let words = words(key), words.count == 1 else { return nil }
    return UInt64(words[0], radix: 16)
  }

  /// The bytes of a line that gives an amount of memory in kB; 0 where there is no such line.
  func bytes(_ key: String) -> UInt64 {
    guard let words = words(key), words.count == 2 else { return 0 }
    return (UInt64(words[0]) ?? 0) << 10
  }

  /// R running, S sleeping, D waiting for a disk and the like, T stopped, Z zombie, X dead.
  var state: Character? { words("State")?.first?.first }

  /// The pids of a process or thread in the pid namespaces that it is in, from ours on. None where the kernel has no such
  /// namespaces.
  var namespacePids: [Int32] { words("NSpid")?.compactMap { Int32($0) } ?? [] }
}
