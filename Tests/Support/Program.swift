internal import CSluiceLinux
import Foundation

/// Starts a program, runs `body` with it, and sees to it that the program and its children are gone
/// afterwards, whatever happened. It waits until few other tests have programs.
public func withProgram<Result>(
  _ command: Command, _ body: (Program) async throws -> Result
) async throws -> Result {
  try await Turns.take {
    let program = try Program(command)
    defer { program.end() }
    return try await body(program)
  }
}

/// A program that a test has started, in a process group of its own.
public final class Program: @unchecked Sendable {
  /// Its pid.
  public let pid: Int32
  private let name: String
  private let pidfd: Descriptor
  private let input: Descriptor?
  private let socket: Descriptor?
  private let keptOutput: Descriptor?
  private let keptErrors: Descriptor
  private let lines: LineReader?
  /// Guards `ended`: once the program was waited for, its pid may be another's.
  private let lock = NSLock()
  private var ended: ProgramEnd?

  /// Held while a program is started: another one that was started just then would inherit descriptors that
  /// are not yet marked for closing, and a pipe's end that it held would keep the pipe open.
  private static let startLock = NSLock()

  fileprivate init(_ command: Command) throws {
    Self.startLock.lock()
    defer { Self.startLock.unlock() }
    name = URL(fileURLWithPath: command.path).lastPathComponent
    keptErrors = try Descriptor.unnamedFile()
    var inputEnds: (read: Descriptor, write: Descriptor)?
    if command.hasInput { inputEnds = try Descriptor.pipe() }
    let socketEnds = command.hasSocket ? try Descriptor.packetSockets() : nil
    var outputEnds: (read: Descriptor, write: Descriptor)?
    if command.output == .lines { outputEnds = try Descriptor.pipe() }
    keptOutput = command.output == .kept ? try Descriptor.unnamedFile() : nil

    var files = SpawnFiles()
    if let inputEnds {
      files.duplicate(inputEnds.read, as: 0)
    } else {
      files.open("/dev/null", O_RDONLY, as: 0)
    }
    switch command.output {
    case .kept: if let keptOutput { files.duplicate(keptOutput, as: 1) }
    case .lines: if let outputEnds { files.duplicate(outputEnds.write, as: 1) }
    case .file(let path): files.open(path, O_WRONLY, as: 1)
    case .closed: files.close(1)
    }
    files.duplicate(keptErrors, as: 2)
    // Nothing else is for the program. The pipe of an exit test that begins at this moment, above all: it would
    // not be at its end before the program is. (A number that is not in use is no error.)
    let given = try command.inherited.mapValues { try Descriptor(duplicating: $0) }
    let kept = given.values.map(\.number) + [socketEnds?.theirs.number].compactMap { $0 }
    for number in Int32(3)..<256 where !kept.contains(number) { files.close(number) }
    if let socketEnds { files.duplicate(socketEnds.theirs, as: 3) }
    for (number, descriptor) in given { files.duplicate(descriptor, as: number) }
    pid = try files.spawn(command)
    input = inputEnds?.write
    socket = socketEnds?.ours
    lines = outputEnds.map { LineReader($0.read) }
    let pidfd = sluice_pidfd_open(pid)
    precondition(pidfd >= 0, "a child that was not waited for has a pid")
    self.pidfd = Descriptor(pidfd)
  }

  /// Sends a signal; nothing when the program has ended.
  public func send(_ signal: Int32) {
    lock.withLock {
      if ended == nil { kill(pid, signal) }
    }
  }

  /// Writes a line to the program's standard input.
  public func write(line: String) throws {
    guard let input else { throw TestFailure("\(name) was started without an input") }
    let bytes = Array((line + "\n").utf8)
    guard unsafe Glibc.write(input.number, bytes, bytes.count) == bytes.count else {
      throw TestFailure.systemCall("writing to \(name)")
    }
  }

  /// Sends a packet to the program's socket.
  public func send(packet: [UInt8]) throws {
    guard let socket else { throw TestFailure("\(name) was started without a socket") }
    let sent = unsafe Glibc.send(socket.number, packet, packet.count, Int32(MSG_NOSIGNAL))
    guard sent == packet.count else { throw TestFailure.systemCall("sending to \(name)") }
  }

  /// The next packet that the program sends; empty when it has closed its end.
  ///
  /// - Throws: `TestFailure` when it says nothing.
  public func nextPacket() async throws -> [UInt8] {
    try await blocking { [self] in
      guard let socket else { throw TestFailure("\(name) was started without a socket") }
      try waitUntilReadable(socket.number, "a packet of \(name)")
      var packet = [UInt8](repeating: 0, count: 1 << 16)
      let count = unsafe recv(socket.number, &packet, packet.count, 0)
      guard count >= 0 else { throw TestFailure.systemCall("receiving from \(name)") }
      return Array(packet[..<count])
    }
  }

  /// Closes the test's end of the socket.
  public func endPackets() {
    if let socket { _ = shutdown(socket.number, Int32(SHUT_RDWR)) }
  }

  /// The next line that the program writes.
  ///
  /// - Throws: `TestFailure` when it has ended, or says nothing.
  public func nextLine() async throws -> String {
    try await blocking { [self] in try nextLineNow() }
  }

  /// The next line that the program writes, for one who may block.
  ///
  /// - Throws: `TestFailure` when it has ended, or says nothing.
  func nextLineNow() throws -> String {
    guard let lines else { throw TestFailure("\(name) was started without lines of output") }
    if let line = try lines.next(waitingFor: "a line of \(name)") { return line }
    throw TestFailure("\(name) ended: \(try resultNow())")
  }

  /// Stops the program (SIGSTOP) and waits until it stands still with all its threads.
  public func stop() async throws {
    send(SIGSTOP)
    let (pid, name) = (pid, name)
    let isStopped = try await blocking {
      var information = unsafe siginfo_t()
      // WEXITED too, or a program that has died meanwhile would be waited for without end.
      let result = unsafe waitid(P_PID, id_t(pid), &information, WSTOPPED | WEXITED | WNOWAIT)
      guard result == 0 else { throw TestFailure.systemCall("stopping \(name)") }
      return unsafe information.si_code == CLD_STOPPED
    }
    guard isStopped else { throw TestFailure("\(name) ended before it could be stopped") }
  }

  /// Whether job control has stopped all threads of the program.
  public func isStopped() throws -> Bool { try Self.isStopped(pid) }

  /// Whether job control has stopped all threads of a process.
  public static func isStopped(_ pid: Int32) throws -> Bool {
    try FileManager.default.contentsOfDirectory(atPath: "/proc/\(pid)/task").allSatisfy {
      try String(contentsOfFile: "/proc/\(pid)/task/\($0)/stat", encoding: .utf8).contains(") T ")
    }
  }

  /// Stops the program as soon as there is a file of this name, and waits until it stands still.
  ///
  /// - Returns: false when it ended before that.
  public func stop(whenThereIs path: String) async throws -> Bool {
    // On a thread of its own: the pool, which the tests keep busy, would look too late.
    try await blocking { [self] in
      let deadline = ContinuousClock.now + longestWait
      while unsafe access(path, F_OK) != 0 {
        guard !hasEnded else { return }
        guard ContinuousClock.now < deadline else { throw TestFailure("waited too long for \(path)") }
        usleep(200)
      }
      send(SIGSTOP)
    }
    guard !hasEnded else { return false }
    do { try await stop() } catch { return false }
    return true
  }

  /// Lets a stopped program go on.
  public func resume() {
    send(SIGCONT)
  }

  /// Waits for the program's end.
  public func result() async throws -> CommandResult {
    try await blocking { [self] in try resultNow() }
  }

  /// The same for one who may block.
  public func resultNow() throws -> CommandResult {
    try untilEndedNow()
    return CommandResult(end: reap(), output: try keptOutput?.text() ?? "", errors: try keptErrors.text())
  }

  /// Waits until the program has ended, and leaves it unwaited for, which is to say a zombie.
  public func untilEnded() async throws {
    try await blocking { [self] in try untilEndedNow() }
  }

  /// The same for one who may block.
  public func untilEndedNow() throws {
    try waitUntilReadable(pidfd.number, "the end of \(name)")
  }

  /// What the program has written to standard error so far.
  public func errorsSoFar() throws -> String {
    try keptErrors.text()
  }

  /// Whether it has ended, by itself or by a signal.
  public var hasEnded: Bool {
    lock.withLock {
      var information = unsafe siginfo_t()
      if ended != nil { return true }
      let result = unsafe waitid(P_PID, id_t(pid), &information, WEXITED | WNOHANG | WNOWAIT)
      // si_code stays 0 while there is nothing to wait for.
      return unsafe result == 0 && information.si_code != 0
    }
  }

  /// Kills what is left of the program and its children, and waits for it.
  private func reap() -> ProgramEnd {
    lock.withLock {
      if let ended { return ended }
      // While the program is not waited for, the group's number cannot be another's.
      kill(-pid, SIGKILL)
      var status: Int32 = 0
      while unsafe waitpid(pid, &status, 0) < 0 && errno == EINTR {}
      let signal = status & 0x7f
      let end = signal == 0 ? ProgramEnd.exited(status >> 8 & 0xff) : .killed(signal)
      ended = end
      return end
    }
  }

  fileprivate func end() {
    _ = reap()
  }
}

/// An open file, closed when nobody holds it any more.
final class Descriptor: Sendable {
  let number: Int32

  init(_ number: Int32) {
    self.number = number
    _ = fcntl(number, F_SETFD, FD_CLOEXEC)
  }

  deinit {
    close(number)
  }

  /// Another descriptor of the same file, by a high number: those that a program gets are low.
  convenience init(duplicating number: Int32) throws {
    let copy = fcntl(number, F_DUPFD_CLOEXEC, 100)
    guard copy >= 0 else { throw TestFailure.systemCall("duplicating descriptor \(number)") }
    self.init(copy)
  }

  /// A file that has no name, and so needs no removing.
  static func unnamedFile() throws -> Descriptor {
    var path = Array("/tmp/sluice-test-XXXXXX".utf8CString)
    let number = unsafe mkstemp(&path)
    guard number >= 0 else { throw TestFailure.systemCall("making a temporary file") }
    unsafe unlink(path)
    return Descriptor(number)
  }

  static func pipe() throws -> (read: Descriptor, write: Descriptor) {
    var ends: [Int32] = [0, 0]
    guard unsafe Glibc.pipe(&ends) == 0 else { throw TestFailure.systemCall("making a pipe") }
    return (Descriptor(ends[0]), Descriptor(ends[1]))
  }

  static func packetSockets() throws -> (ours: Descriptor, theirs: Descriptor) {
    var ends: [Int32] = [0, 0]
    let kind = Int32(SOCK_SEQPACKET.rawValue | SOCK_CLOEXEC.rawValue)
    guard unsafe socketpair(AF_UNIX, kind, 0, &ends) == 0 else {
      throw TestFailure.systemCall("making sockets")
    }
    return (Descriptor(ends[0]), Descriptor(ends[1]))
  }

  /// All of the file, from its start.
  func text() throws -> String {
    try text { block, offset in unsafe pread(number, &block, block.count, off_t(offset)) }
  }

  /// What is left of the file, for one that the kernel makes up while it is read.
  func readText() throws -> String {
    try text { block, _ in unsafe read(number, &block, block.count) }
  }

  private func text(reading: (inout [UInt8], Int) -> Int) throws -> String {
    var bytes: [UInt8] = []
    var block = [UInt8](repeating: 0, count: 64 << 10)
    while true {
      let count = reading(&block, bytes.count)
      guard count >= 0 else { throw TestFailure.systemCall("reading what a program has written") }
      if count == 0 { return String(decoding: bytes, as: UTF8.self) }
      bytes += block[..<count]
    }
  }
}

/// Takes what comes through a pipe apart into lines.
private final class LineReader: @unchecked Sendable {
  private let descriptor: Descriptor
  private let lock = NSLock()
  private var bytes: [UInt8] = []

  init(_ descriptor: Descriptor) {
    self.descriptor = descriptor
  }

  /// The next line, or nil at the end.
  func next(waitingFor: String) throws -> String? {
    try lock.withLock {
      while true {
        if let newline = bytes.firstIndex(of: UInt8(ascii: "\n")) {
          let line = String(decoding: bytes[..<newline], as: UTF8.self)
          bytes.removeSubrange(...newline)
          return line
        }
        try waitUntilReadable(descriptor.number, waitingFor)
        var block = [UInt8](repeating: 0, count: 4096)
        let count = unsafe read(descriptor.number, &block, block.count)
        guard count >= 0 else { throw TestFailure.systemCall("reading \(waitingFor)") }
        if count == 0 { return nil }
        bytes += block[..<count]
      }
    }
  }
}

/// The files that a program is started with.
@safe
private struct SpawnFiles: ~Copyable {
  private var actions = unsafe posix_spawn_file_actions_t()

  init() {
    unsafe posix_spawn_file_actions_init(&actions)
  }

  deinit {
    var actions = unsafe actions
    unsafe posix_spawn_file_actions_destroy(&actions)
  }

  mutating func duplicate(_ descriptor: Descriptor, as number: Int32) {
    unsafe posix_spawn_file_actions_adddup2(&actions, descriptor.number, number)
  }

  mutating func open(_ path: String, _ flags: Int32, as number: Int32) {
    unsafe posix_spawn_file_actions_addopen(&actions, number, path, flags, 0)
  }

  mutating func close(_ number: Int32) {
    unsafe posix_spawn_file_actions_addclose(&actions, number)
  }

  mutating func spawn(_ command: Command) throws -> Int32 {
    var attributes = posix_spawnattr_t()
    unsafe posix_spawnattr_init(&attributes)
    defer { unsafe posix_spawnattr_destroy(&attributes) }
    // Threads of the pool have signals blocked, and a program inherits that from the thread that starts it.
    var none = sigset_t()
    var all = sigset_t()
    unsafe sigemptyset(&none)
    unsafe sigfillset(&all)
    unsafe posix_spawnattr_setsigmask(&attributes, &none)
    unsafe posix_spawnattr_setsigdefault(&attributes, &all)
    unsafe posix_spawnattr_setpgroup(&attributes, 0)
    let flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP
    unsafe posix_spawnattr_setflags(&attributes, Int16(flags))

    var arguments = unsafe ([command.path] + command.arguments).map { unsafe strdup($0) } + [nil]
    let variables = ProcessInfo.processInfo.environment.merging(command.environment) { $1 }
      .map { "\($0.key)=\($0.value)" }
    var environment = unsafe variables.map { unsafe strdup($0) } + [nil]
    defer { unsafe (arguments + environment).forEach { unsafe free($0) } }
    var pid: Int32 = 0
    let error = unsafe posix_spawn(&pid, command.path, &actions, &attributes, &arguments, &environment)
    guard error == 0 else { throw TestFailure.systemCall("starting \(command.path)", errno: error) }
    return pid
  }
}
