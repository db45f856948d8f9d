import FoundationEssentials
import Glibc
import Sluice
import Synchronization

/// Where text goes: data to standard output, messages to standard error or to a file.
enum Terminal {
  /// The file that messages go to; -1 while there is none.
  private static let log = Atomic<Int32>(-1)
  /// Whether each message is a JSON object.
  private static let writesJSON = Atomic<Bool>(false)
  /// What stands in the last line of the terminal and is written anew after each message; nil while nothing does.
  private static let status = Mutex<String?>(nil)
  /// Whether nobody reads standard output any more.
  private static let readerIsGone = Atomic<Bool>(false)

  /// Whether somebody has messages go to a file.
  static var hasLog: Bool { log.load(ordering: .relaxed) >= 0 }

  /// From now on messages go to the end of this file, which is made where there is none. Nobody else may have anything
  /// to say just then.
  ///
  /// - Throws: `SluiceError` with `cannotCreate`; messages then go where they went before.
  static func sendMessages(toFileAt path: String) throws(SluiceError) {
    let former = log.exchange(try NamedDirectory.openLog(at: path), ordering: .relaxed)
    if former >= 0 { close(former) }
  }

  /// From now on each message is a JSON object, wherever it goes.
  static func writeMessagesAsJSON() { writesJSON.store(true, ordering: .relaxed) }

  /// A message for people. In a file it has the time, the level and our pid; on a terminal it is no wider than that.
  ///
  /// - Parameters:
  ///   - text: one line, or one with further ones that are indented.
  ///   - level: how much it matters. A text that begins with "sluice: warning: " is a warning whatever this says.
  static func message(_ text: String, level: MessageLevel = .info) {
    let message = Message(text, level: level)
    let file = log.load(ordering: .relaxed)
    let isJSON = writesJSON.load(ordering: .relaxed)
    if file >= 0 {
      let error = write((isJSON ? message.json : message.logLine) + "\n", to: file)
      if error == 0 { return }
      // Messages are not lost with their file.
      if log.exchange(-1, ordering: .relaxed) >= 0 {
        Self.message("sluice: writing to the log file: \(CommandFailure.text(error))", level: .error)
      }
    }
    let isTerminal = isatty(STDERR_FILENO) == 1
    let shown =
      isJSON
      ? message.json
      : isTerminal ? LineWrap.wrap(message.line, width: width(of: STDERR_FILENO)) : message.line
    // When standard error is closed there is nobody left to tell.
    status.withLock { status in
      guard let status else { return raw(shown + "\n") }
      raw("\(clearedLine)\(shown)\n\(status)")
    }
  }

  /// The terminal's last line, which messages leave in place; nil takes it away.
  static func showStatus(_ text: String?) {
    status.withLock { status in
      guard status != nil || text != nil else { return }
      raw(clearedLine + (text ?? ""))
      status = text
    }
  }

  /// Goes to the start of the line and removes what is there, also what the terminal has echoed, such as ^C.
  private static let clearedLine = "\r\u{1B}[K"

  /// Text for standard error, whatever becomes of messages: how far the work has come.
  static func raw(_ text: String) {
    _ = write(text, to: STDERR_FILENO)
  }

  /// Text for a file that a caller has opened.
  ///
  /// - Returns: whether all of it was written.
  static func raw(_ text: String, to descriptor: Int32) -> Bool { write(text, to: descriptor) == 0 }

  /// The columns of a terminal; 80 for what is none.
  static func width(of descriptor: Int32) -> Int {
    if let columns = unsafe getenv("COLUMNS").flatMap({ Int(unsafe String(cString: $0)) }), columns > 0 {
      return columns
    }
    var size = winsize()
    let result = unsafe ioctl(descriptor, UInt(TIOCGWINSZ), &size)
    return result == 0 && size.ws_col > 0 ? Int(size.ws_col) : 80
  }

  /// The columns and rows of a terminal.
  static func size(of descriptor: Int32) -> (columns: Int, rows: Int) {
    var size = winsize()
    let result = unsafe ioctl(descriptor, UInt(TIOCGWINSZ), &size)
    return (width(of: descriptor), result == 0 && size.ws_row > 0 ? Int(size.ws_row) : 24)
  }

  /// Data, for people or programs. On a terminal no line is wider than that.
  ///
  /// - Parameter hanging: how far the rest of a line is indented that is too wide; nil for two columns more than it begins.
  /// - Returns: whether all of it was written; a full disk or a closed pipe must not pass for success.
  static func data(_ text: String, hanging: Int? = nil) -> Bool {
    guard isatty(STDOUT_FILENO) == 1 else { return line(text) }
    return line(LineWrap.wrap(text, width: width(of: STDOUT_FILENO), hanging: hanging))
  }

  private static func line(_ text: String) -> Bool {
    let error = write(text + "\n", to: STDOUT_FILENO)
    if error == EPIPE { readerIsGone.store(true, ordering: .relaxed) }
    return error == 0
  }

  /// Says that standard output could not be written; but not where its reader has seen enough (head(1)).
  ///
  /// - Returns: the exit status for that: as a shell has it for a program that SIGPIPE has ended, or that of a failed write.
  static func outputFailed() -> Int32 {
    guard !readerIsGone.load(ordering: .relaxed) else { return 128 + SIGPIPE }
    message("sluice: writing to standard output failed", level: .error)
    return 74
  }

  /// One JSON object on one line.
  ///
  /// - Returns: whether all of it was written.
  static func json(_ value: some Encodable) -> Bool { line(encoded(value)) }

  /// One JSON object, in snake_case.
  static func encoded(_ value: some Encodable) -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    encoder.keyEncodingStrategy = .convertToSnakeCase
    guard let bytes = try? encoder.encode(value) else {
      preconditionFailure("what is printed has nothing that JSON cannot say")
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  /// - Returns: 0 when all of it was written, or else the errno.
  private static func write(_ text: String, to descriptor: Int32) -> Int32 {
    var bytes = Array(text.utf8)[...]
    while !bytes.isEmpty {
      let count = unsafe bytes.withUnsafeBytes { unsafe Glibc.write(descriptor, $0.baseAddress, $0.count) }
      if count < 0 {
        if errno == EINTR { continue }
        return errno
      }
      bytes = bytes.dropFirst(count)
    }
    return 0
  }

  /// A message in the forms that it may have.
  private struct Message {
    /// As it is for people: with the program's name.
    let line: String
    private let level: MessageLevel
    /// Without the name and the level.
    private let text: String

    init(_ line: String, level: MessageLevel) {
      self.line = line
      var text = line[...]
      if text.hasPrefix("sluice: ") { text = text.dropFirst("sluice: ".count) }
      let named = MessageLevel.allCases.first { text.hasPrefix("\($0.rawValue): ") }
      if let named { text = text.dropFirst(named.rawValue.count + 2) }
      self.level = named ?? level
      self.text = String(text)
    }

    /// As it is in a log file.
    var logLine: String { "\(WallClock.now) \(level.rawValue) sluice[\(getpid())]: \(text)" }

    var json: String {
      Terminal.encoded(Fields(time: WallClock.now, level: level.rawValue, pid: getpid(), message: text))
    }

    private struct Fields: Encodable {
      /// When it was written, in UTC (RFC 3339).
      let time: String
      /// How much it matters: debug, info, notice, warning or error.
      let level: String
      /// The pid of sluice.
      let pid: Int32
      /// The text, without the name of the program; its lines are separated by newlines.
      let message: String
    }
  }
}
