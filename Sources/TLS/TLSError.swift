public import CSluiceLinux
internal import CSluiceTLS
internal import SluiceSystem

/// Why there is no TLS with somebody, or no longer.
public struct TLSError: Error, CustomStringConvertible {
  /// The kinds that a caller may want to tell apart.
  public enum Code: Hashable, Sendable {
    /// This build of Sluice has no TLS.
    case unavailable
    /// One of our own files cannot be read, or does not hold what it should.
    case file
    /// We do not accept the peer's certificate, or it has none.
    case untrusted
    /// The peer has told us that it ends the session; most often it does not accept our certificate.
    case refused
    /// The two sides do not understand each other, or somebody has changed what was sent.
    case failed
    /// The connection broke, or ended in a place where it should not.
    case connection
    /// The peer kept us waiting for longer than it may.
    case timedOut
  }

  /// The kind of failure.
  public let code: Code
  /// What went wrong, with which file or peer; one line.
  public let message: String
  /// The kernel's reason, where there was one.
  public let errno: SystemErrno?

  init(_ code: Code, _ message: String, errno: SystemErrno? = nil) {
    self.code = code
    self.message = message
    self.errno = errno
  }

  /// GnuTLS could not do something with what we gave it.
  init(_ code: Code, _ doing: String, returned result: some SignedInteger) {
    if result == SLUICE_TLS_ABSENT.rawValue {
      self = .unavailable
    } else {
      self.init(code, "\(doing): \(Self.text(of: Int32(result)))")
    }
  }

  static var unavailable: TLSError { TLSError(.unavailable, "this build of sluice has no TLS") }

  /// What GnuTLS says of an error, as the end of a line: "Base64 decoding error".
  static func text(of result: Int32) -> String {
    unsafe ended(String(cString: sluice_tls_error_text(result)))
  }

  /// A text without what ends it.
  static func ended(_ text: String) -> String {
    String(text.reversed().drop { $0.isWhitespace || $0 == "." }.reversed())
  }

  /// The message, and the kernel's reason.
  public var description: String {
    errno.map { "\(message): \($0.reason)" } ?? message
  }
}
