internal import CSluiceLinux

/// The way from one directory to another.
enum RelativePath {
  /// - Parameters:
  ///   - base: the absolute path of the directory to start from, without links in it.
  ///   - target: likewise of the one to get to.
  static func from(_ base: String, to target: String) -> String {
    let (from, to) = (base.split(separator: "/"), target.split(separator: "/"))
    let common = zip(from, to).prefix(while: { $0 == $1 }).count
    let steps = Array(repeating: "..", count: from.count - common) + to[common...].map(String.init)
    return steps.isEmpty ? "." : steps.joined(separator: "/")
  }
}

/// Where an open directory is.
enum DirectoryPath {
  /// The absolute path, without links in it: /proc/self/fd tells it.
  ///
  /// - Parameter name: how the directory is called in messages.
  static func real(of descriptor: Int32, named name: String) throws(ImagesError) -> String {
    var text = [UInt8](repeating: 0, count: 4096)
    let count = unsafe text.withUnsafeMutableBytes {
      unsafe sluice_read_link_at(
        sluice_current_directory(), "/proc/self/fd/\(descriptor)", $0.baseAddress, $0.count)
    }
    guard count >= 0, count < text.count else {
      throw ImagesError(
        .io, "asking where the directory \(name) is",
        errno: count < 0 ? SystemErrno(returned: count) : nil)
    }
    return String(decoding: text[..<count], as: UTF8.self)
  }
}
