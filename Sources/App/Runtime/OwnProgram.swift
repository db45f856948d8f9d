import Glibc
import Sluice

/// This program, once more, as a process of its own.
///
/// A program with threads cannot fork to go on in the background. So it is started anew, with what it had opened by then.
enum OwnProgram {
  /// Starts it.
  ///
  /// - Parameters:
  ///   - arguments: those behind its name.
  ///   - inherited: descriptors that it has, too, under the same numbers, beside the standard ones.
  ///   - isDetached: whether it leaves our session and our terminal, and has nothing as standard input and outputs.
  /// - Returns: its pid.
  /// - Throws: `Failed`.
  static func start(
    _ arguments: [String], inheriting inherited: [Int32], isDetached: Bool
  ) throws(Failed) -> pid_t {
    var attributes = posix_spawnattr_t()
    unsafe posix_spawnattr_init(&attributes)
    defer { unsafe posix_spawnattr_destroy(&attributes) }
    var (none, ours) = (sigset_t(), sigset_t())
    unsafe sigemptyset(&none)
    unsafe sigemptyset(&ours)
    for signal in [SIGINT, SIGTERM, SIGHUP, SIGPIPE] { unsafe sigaddset(&ours, signal) }
    unsafe posix_spawnattr_setsigmask(&attributes, &none)
    unsafe posix_spawnattr_setsigdefault(&attributes, &ours)
    let newSession: Int32 = isDetached ? 0x80 : 0
    unsafe posix_spawnattr_setflags(
      &attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | newSession))
    var actions = unsafe posix_spawn_file_actions_t()
    unsafe posix_spawn_file_actions_init(&actions)
    defer { unsafe posix_spawn_file_actions_destroy(&actions) }
    if isDetached {
      unsafe posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDWR, 0)
      unsafe posix_spawn_file_actions_adddup2(&actions, STDIN_FILENO, STDOUT_FILENO)
      unsafe posix_spawn_file_actions_adddup2(&actions, STDIN_FILENO, STDERR_FILENO)
    }
    // Onto itself: that takes the mark away that has it closed.
    for descriptor in inherited {
      unsafe posix_spawn_file_actions_adddup2(&actions, descriptor, descriptor)
    }
    var words = unsafe (["sluice"] + arguments).map { unsafe strdup($0) } + [nil]
    defer { unsafe words.forEach { unsafe free($0) } }
    var child: pid_t = 0
    let error = unsafe posix_spawn(&child, path, &actions, &attributes, &words, environ)
    guard error == 0 else { throw Failed(errno: error) }
    return child
  }

  /// By its own name, which the process is called by then. A file that was replaced since is still to be had by the link.
  private static var path: String {
    let link = "/proc/self/exe"
    var text = [CChar](repeating: 0, count: Int(PATH_MAX))
    let count = unsafe readlink(link, &text, text.count)
    guard count > 0 else { return link }
    let path = String(decoding: text[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    return unsafe access(path, X_OK) == 0 ? path : link
  }

  /// Why it could not be started.
  struct Failed: Error {
    /// Of errno.h.
    let errno: Int32
    var message: String { "starting sluice once more: \(CommandFailure.text(errno))" }
  }
}
