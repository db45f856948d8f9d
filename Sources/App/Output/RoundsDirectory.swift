import Glibc

/// A directory that holds no images itself, but those of rounds, in directories 1, 2, 3 and so on.
struct RoundsDirectory: Hashable {
  private let path: String
  private let first: Int
  private let newest: Int

  /// - Returns: nil where the directory has images of its own, or none of rounds.
  init?(path: String) {
    guard !path.isEmpty, let names = Self.names(in: path),
      !names.contains(where: {
        $0.hasSuffix(".img") || $0.hasSuffix(".img.aside") || $0.hasSuffix(".partial")
      })
    else { return nil }
    let numbers = names.compactMap { name in Int(name).flatMap { $0 > 0 && "\($0)" == name ? $0 : nil } }
    let complete = numbers.filter { number in
      Self.names(in: "\(path)/\(number)")?.contains { Self.last.contains($0) } == true
    }
    guard let first = complete.min(), let newest = complete.max() else { return nil }
    (self.path, self.first, self.newest) = (path, first, newest)
  }

  /// What is written last, by a pre-dump or by a page server.
  private static let last: Set = ["inventory.img", "inventory.img.aside", "session.img"]

  /// What is wrong with naming it.
  var problem: String {
    let rounds = first == newest ? "round \(first)" : "rounds \(first) to \(newest)"
    return "\(path) holds no images itself, but those of \(rounds): name the newest, \(path)/\(newest)"
  }

  private static func names(in path: String) -> [String]? {
    guard let directory = unsafe opendir(path) else { return nil }
    defer { _ = unsafe closedir(directory) }
    var names: [String] = []
    while let entry = unsafe readdir(directory) {
      names.append(
        unsafe withUnsafePointer(to: &entry.pointee.d_name) {
          unsafe $0.withMemoryRebound(to: CChar.self, capacity: 256) { unsafe String(cString: $0) }
        })
    }
    return names
  }
}
