import Glibc
import SluiceWire

/// The real CRIU, which does all that Sluice does not: in its place we hand that on.
struct RealCriu {
  /// The environment's variable that names it.
  static let variable = "SLUICE_CRIU"
  private static let name = "criu"
  /// Users' paths often lack the places that administrators' programs are in.
  private static let furtherPlaces = ["/usr/local/sbin", "/usr/sbin", "/sbin"]

  let path: String

  /// Looks for it: where `named` says, or else the environment, or else in the path, where we pass ourselves over.
  ///
  /// - Throws: `EngineAnswer.Failure` when there is none.
  init(named: String?) throws(EngineAnswer.Failure) {
    let wanted = named ?? Self.environment(Self.variable) ?? Self.name
    let directories = (Self.environment("PATH") ?? "").split(separator: ":").map(String.init)
    let candidates =
      wanted.contains("/") ? [wanted] : (directories + Self.furtherPlaces).map { "\($0)/\(wanted)" }
    guard let found = candidates.first(where: Self.isAnother) else {
      throw EngineAnswer.Failure(
        errno: ENOENT,
        message:
          "there is no CRIU to pass this on to (looked for \(wanted)): install it, or say where it is in"
          + " \(Self.variable)")
    }
    path = found
  }

  private static func environment(_ name: String) -> String? {
    unsafe getenv(name).map { unsafe String(cString: $0) }.flatMap { $0.isEmpty ? nil : $0 }
  }

  /// Whether there is a program that is not this one by another name.
  private static func isAnother(_ path: String) -> Bool {
    var (file, ours) = (stat(), stat())
    guard unsafe stat(path, &file) == 0, file.st_mode & S_IFMT == S_IFREG, unsafe access(path, X_OK) == 0
    else {
      return false
    }
    // Where we cannot tell who we are, better none than ourselves for ever.
    guard unsafe stat("/proc/self/exe", &ours) == 0 else { return false }
    return file.st_dev != ours.st_dev || file.st_ino != ours.st_ino
  }

  /// Becomes CRIU, with these arguments, as if it had been started in our place.
  ///
  /// - Returns: only when that fails, and why.
  func execute(_ arguments: [String]) -> EngineAnswer.Failure {
    SignalCancellation.restoreDefaults()
    _ = signal(SIGPIPE, SIG_DFL)
    // A thread of the pool may have signals blocked that our first one had not.
    var none = sigset_t()
    unsafe sigemptyset(&none)
    unsafe pthread_sigmask(SIG_SETMASK, &none, nil)
    let all = [path] + arguments
    let words = unsafe all.map { unsafe strdup($0) } + [nil]
    unsafe execv(path, words)
    let error = errno
    unsafe words.forEach { unsafe free($0) }
    return EngineAnswer.Failure(errno: error, message: "executing \(path): \(CommandFailure.text(error))")
  }

  /// Has a CRIU of its own answer a request that names no descriptors.
  ///
  /// - Returns: the packet of the answer.
  /// - Throws: `EngineAnswer.Failure` when it gives none.
  func answer(to packet: [UInt8]) throws(EngineAnswer.Failure) -> [UInt8] {
    guard let (ours, its) = PacketSocket.pair() else {
      throw Self.failed("making a socket for \(path)", errno)
    }
    let started: Result<pid_t, EngineAnswer.Failure>
    do throws(EngineAnswer.Failure) { started = .success(try start(on: its)) } catch {
      started = .failure(error)
    }
    close(its)
    defer { close(ours) }
    let child = try started.get()
    let answer: Result<[UInt8], EngineSocket.Broken>
    do throws(EngineSocket.Broken) {
      let socket = try EngineSocket(descriptor: ours)
      try socket.send(packet)
      answer = .success(try socket.peek())
    } catch {
      answer = .failure(error)
    }
    // It waits for no more when it has answered, and when its other end is closed.
    shutdown(ours, Int32(SHUT_RDWR))
    var status: Int32 = 0
    while unsafe waitpid(child, &status, 0) < 0 && errno == EINTR {}
    switch answer {
    case .success(let bytes): return bytes
    case .failure(let broken):
      throw EngineAnswer.Failure(
        errno: EPROTO, message: "\(path) gives no answer: \(broken.message ?? "it ended")")
    }
  }

  private func start(on socket: Int32) throws(EngineAnswer.Failure) -> pid_t {
    var actions = unsafe posix_spawn_file_actions_t()
    unsafe posix_spawn_file_actions_init(&actions)
    defer { unsafe posix_spawn_file_actions_destroy(&actions) }
    // As the same number it is no longer closed when the program begins.
    unsafe posix_spawn_file_actions_adddup2(&actions, socket, socket)
    let arguments = [path, "swrk", "\(socket)"]
    let words = unsafe arguments.map { unsafe strdup($0) } + [nil]
    defer { unsafe words.forEach { unsafe free($0) } }
    var child: pid_t = 0
    let error = unsafe posix_spawn(&child, path, &actions, nil, words, environ)
    guard error == 0 else { throw Self.failed("starting \(path)", error) }
    return child
  }

  private static func failed(_ doing: String, _ errno: Int32) -> EngineAnswer.Failure {
    EngineAnswer.Failure(errno: errno, message: "\(doing): \(CommandFailure.text(errno))")
  }
}
