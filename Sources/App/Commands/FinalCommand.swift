import Glibc
import Sluice

/// `--then`: the command that makes the final dump, run while the rounds' tracker is still held.
struct FinalCommand {
  /// As it was given, for a shell to run.
  let text: String
  /// The process that was pre-dumped.
  let pid: Int32
  /// The directory of the last round.
  let lastRound: Int
  /// The directory that those of the rounds are in.
  let directory: String

  /// The directory for the final dump.
  var dumpDirectory: String { "\(directory)/\(lastRound + 1)" }

  /// The command with what its placeholders stand for.
  var expanded: String {
    Self.expand(
      text,
      [
        "{pid}": "\(pid)", "{dir}": Self.quoted(dumpDirectory), "{parent}": Self.quoted("../\(lastRound)"),
      ])
  }

  /// Replaces placeholders; what they stand for is not looked at again.
  private static func expand(_ text: String, _ values: [String: String]) -> String {
    var expanded = ""
    var rest = text[...]
    while let brace = rest.firstIndex(of: "{") {
      expanded += rest[..<brace]
      rest = rest[brace...]
      let found = values.first { rest.hasPrefix($0.key) }
      expanded += found?.value ?? "{"
      rest = rest.dropFirst(found?.key.count ?? 1)
    }
    return expanded + rest
  }

  /// As one word for a shell, whatever is in it.
  private static func quoted(_ text: String) -> String {
    let isPlain = text.utf8.allSatisfy { byte in
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "/"), UInt8(ascii: "."), UInt8(ascii: "-"),
        UInt8(ascii: "_"):
        true
      default: false
      }
    }
    return isPlain
      ? text
      : "'" + text.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "'\\''") + "'"
  }

  /// Runs the command to its end, with our own standard input and outputs. When the task is cancelled the command is told
  /// to end (SIGTERM), and waited for.
  ///
  /// - Returns: its exit status, or 128 and the number of the signal that ended it.
  /// - Throws: `Failed` when it cannot be started.
  func run() async throws(Failed) -> Int32 {
    do throws(SluiceError) { try NamedDirectory.makeForDump(after: lastRound, in: directory) } catch {
      throw Failed(error)
    }
    let child = try start()
    var isTold = false
    while true {
      var status: Int32 = 0
      let ended = unsafe waitpid(child, &status, WNOHANG)
      if ended == child { return status & 0x7f == 0 ? status >> 8 & 0xff : 128 + status & 0x7f }
      guard ended == 0 || errno == EINTR else { throw Failed("waiting for the command of --then", errno) }
      if Task.isCancelled, !isTold {
        isTold = true
        kill(child, SIGTERM)
      }
      // A cancelled task sleeps no more.
      if isTold { usleep(10_000) } else { try? await Task.sleep(for: .milliseconds(10)) }
    }
  }

  private func start() throws(Failed) -> pid_t {
    var child: pid_t = 0
    var attributes = posix_spawnattr_t()
    unsafe posix_spawnattr_init(&attributes)
    defer { unsafe posix_spawnattr_destroy(&attributes) }
    // Signals that are blocked or ignored here are not to be so there.
    var (none, ours) = (sigset_t(), sigset_t())
    unsafe sigemptyset(&none)
    unsafe sigemptyset(&ours)
    for signal in [SIGINT, SIGTERM, SIGHUP, SIGPIPE] { unsafe sigaddset(&ours, signal) }
    unsafe posix_spawnattr_setsigmask(&attributes, &none)
    unsafe posix_spawnattr_setsigdefault(&attributes, &ours)
    unsafe posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))
    let words = ["sh", "-c", expanded]
    var arguments = unsafe words.map { unsafe strdup($0) } + [nil]
    defer { unsafe arguments.forEach { unsafe free($0) } }
    let error = unsafe posix_spawn(&child, "/bin/sh", nil, &attributes, &arguments, environ)
    guard error == 0 else { throw Failed("starting /bin/sh for --then", error) }
    return child
  }

  /// Why the command could not be run.
  struct Failed: Error {
    let message: String

    init(_ error: SluiceError) {
      message = "making the directory for --then: \(error)"
    }

    init(_ doing: String, _ errno: Int32) {
      message = "\(doing): \(unsafe String(cString: strerror(errno)))"
    }
  }
}
