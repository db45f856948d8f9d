import Glibc

/// Why a test could not be carried out: not a finding about the code under test, but about its surroundings.
public struct TestFailure: Error, CustomStringConvertible {
  /// What went wrong.
  public let description: String

  /// A failure with that reason.
  public init(_ description: String) {
    self.description = description
  }

  /// A failure of a system call, with the kernel's reason.
  static func systemCall(_ doing: String, errno number: Int32 = errno) -> TestFailure {
    TestFailure("\(doing): \(unsafe String(cString: strerror(number)))")
  }
}
