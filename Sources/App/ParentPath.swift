import Glibc

/// What `--prev-images-dir` means: CRIU reads a relative path from the images directory, people mean the one they
/// are in. The first that is there is taken.
enum ParentPath {
  /// - Returns: a path to be read from the current directory.
  static func resolve(_ path: String, imagesDirectory: String) -> String {
    guard !path.hasPrefix("/") else { return path }
    let fromImages = join(imagesDirectory, path)
    return isDirectory(fromImages) || !isDirectory(path) ? fromImages : path
  }

  /// The images directory need not be there yet, so steps up are taken here and not by the kernel.
  private static func join(_ directory: String, _ path: String) -> String {
    if isDirectory(directory) { return directory + "/" + path }
    var (base, rest) = (directory.split(separator: "/", omittingEmptySubsequences: true)[...], path[...])
    while rest.hasPrefix("../"), let last = base.last, last != "..", last != "." {
      base.removeLast()
      rest = rest.dropFirst(3).drop(while: { $0 == "/" })
    }
    let root = directory.hasPrefix("/") ? "/" : ""
    let steps = base.isEmpty ? (root.isEmpty ? ["."] : []) : base.map(String.init)
    return root + (steps + [String(rest)]).joined(separator: "/")
  }

  private static func isDirectory(_ path: String) -> Bool {
    var status = stat()
    return unsafe stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
  }
}
