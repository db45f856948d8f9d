import FoundationEssentials

/// Files that are read as a whole.
enum SmallFile {
  /// Copies a file over another.
  ///
  /// - Returns: whether that succeeded.
  static func copy(_ path: String, to other: String) -> Bool {
    guard let data = try? Data(contentsOf: URL(filePath: path)) else { return false }
    return (try? data.write(to: URL(filePath: other))) != nil
  }
}
