import FoundationEssentials
import Glibc
import Sluice
import Synchronization

/// Where text goes: data to standard output, messages to standard error or to a file.
enum Terminal {
  /// The file that messages go to; -1 while there is none.
  private static let log = Atomic<Int32>(-1)

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

  /// A message for people.
  static func message(_ text: String) {
    let file = log.load(ordering: .relaxed)
    if file >= 0 {
      let error = write(text + "\n", to: file)
      if error == 0 { return }
      // Messages are not lost with their file.
      if log.exchange(-1, ordering: .relaxed) >= 0 {
        message("sluice: writing to the log file: \(CommandFailure.text(error))")
      }
    }
    // When standard error is closed there is nobody left to tell.
    raw(text + "\n")
  }

  /// Text for standard error, whatever becomes of messages: how far the work has come.
  static func raw(_ text: String) {
    _ = write(text, to: STDERR_FILENO)
  }

  /// The columns of a terminal; 80 for what is none.
  static func width(of descriptor: Int32) -> Int {
    if let columns = unsafe getenv("COLUMNS").flatMap({ Int(unsafe String(cString: $0)) }), columns > 0 {
      return columns
    }
    var size = winsize()
    let result = unsafe ioctl(descriptor, UInt(TIOCGWINSZ), &size)
    return result == 0 && size.ws_col > 0 ? Int(size.ws_col) : 80
  }

  /// Data, for people or programs.
  ///
  /// - Returns: whether all of it was written; a full disk or a closed pipe must not pass for success.
  static func data(_ text: String) -> Bool {
    write(text + "\n", to: STDOUT_FILENO) == 0
  }

  /// One JSON object on one line.
  ///
  /// - Returns: whether all of it was written.
  static func json(_ value: some Encodable) -> Bool {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    encoder.keyEncodingStrategy = .convertToSnakeCase
    guard let bytes = try? encoder.encode(value) else {
      preconditionFailure("what is printed has nothing that JSON cannot say")
    }
    return data(String(decoding: bytes, as: UTF8.self))
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
}
