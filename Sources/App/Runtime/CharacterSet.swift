import Glibc

/// Which characters may be printed.
enum CharacterSet {
  /// Whether the user's locale has more than ASCII.
  static let isUTF8 = isUTF8 { name in unsafe getenv(name).map { unsafe String(cString: $0) } }

  /// As setlocale(3) goes by the environment: the first of these that says something.
  static func isUTF8(_ variable: (String) -> String?) -> Bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].lazy.compactMap(variable).first { !$0.isEmpty } ?? ""
    let name = locale.lowercased()
    return name.contains("utf-8") || name.contains("utf8")
  }
}
