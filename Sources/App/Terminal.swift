import FoundationEssentials
import Glibc

/// Where text goes: data to standard output, messages to standard error.
enum Terminal {
  /// A message for people.
  static func message(_ text: String) {
    // When standard error is closed there is nobody left to tell.
    _ = write(text + "\n", to: STDERR_FILENO)
  }

  /// A part of a line for people.
  static func raw(_ text: String) {
    _ = write(text, to: STDERR_FILENO)
  }

  /// Data, for people or programs.
  ///
  /// - Returns: whether all of it was written; a full disk or a closed pipe must not pass for success.
  static func data(_ text: String) -> Bool {
    write(text + "\n", to: STDOUT_FILENO)
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

  private static func write(_ text: String, to descriptor: Int32) -> Bool {
    var bytes = Array(text.utf8)[...]
    while !bytes.isEmpty {
      let count = unsafe bytes.withUnsafeBytes { unsafe Glibc.write(descriptor, $0.baseAddress, $0.count) }
      if count < 0 {
        if errno == EINTR { continue }
        return false
      }
      bytes = bytes.dropFirst(count)
    }
    return true
  }
}
