internal import SluiceSystem

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
    do throws(SystemError) {
      return try SymbolicLink.text(of: "/proc/self/fd/\(descriptor)", called: name)
    } catch {
      throw ImagesError(.io, "finding the directory \(name)", errno: error.errno)
    }
  }
}
