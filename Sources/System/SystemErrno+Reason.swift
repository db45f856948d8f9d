package import CSluiceLinux

extension SystemErrno {
  /// The name that errno.h gives it, such as "ENOSPC".
  package var name: String { unsafe String(cString: cName) }
  /// What it means, in a few words.
  package var text: String { unsafe String(cString: cText) }
  /// Both, as messages end with them: "ENOSPC (No space left on device)".
  package var reason: String { "\(name) (\(text))" }

  /// The error that a C function of ours returned as a negative number.
  package init(returned result: some SignedInteger) {
    self.init(code: Int32(-result))
  }
}
