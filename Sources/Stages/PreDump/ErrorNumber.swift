internal import CSluiceLinux
internal import SluiceSystem

/// An error number of the kernel's, as in errno.h.
public struct ErrorNumber: Hashable, Sendable, Codable, CustomStringConvertible {
  /// The number, such as 28; above 0.
  public let code: Int32

  /// That number, whether or not it has a name.
  public init(code: Int32) {
    self.code = code
  }

  init(_ errno: SystemErrno) {
    code = errno.code
  }

  /// The name, such as "ENOSPC"; "unknown errno" for a number that has none.
  public var name: String { kernel.name }
  /// What it means in a few words, untranslated, such as "No space left on device".
  public var meaning: String { kernel.text }
  /// The name, and the meaning in brackets.
  public var description: String { "\(name) (\(meaning))" }

  /// The same, as the layers below have it.
  var kernel: SystemErrno { SystemErrno(code: code) }
}
