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

  /// The images directory need not be there yet: so steps up out of what is not there are taken here, and not by the
  /// kernel. What there is may be a link, and steps up from there are the kernel's.
  private static func join(_ directory: String, _ path: String) -> String {
    let root = directory.hasPrefix("/") ? "/" : ""
    var base = steps(directory)[...]
    var rest = steps(path)[...]
    func text(_ steps: some Collection<Substring>) -> String {
      steps.isEmpty && root.isEmpty ? "." : root + steps.joined(separator: "/")
    }
    while !rest.isEmpty, !isDirectory(text(base)) {
      let step = rest.removeFirst()
      if step == "..", let last = base.last, last != ".." { base.removeLast() } else { base.append(step) }
    }
    return rest.isEmpty
      ? text(base)
      : "\(base.isEmpty ? (root.isEmpty ? "./" : root) : text(base) + "/")\(rest.joined(separator: "/"))"
  }

  /// The parts of a path, but for those that lead nowhere.
  private static func steps(_ path: String) -> [Substring] {
    path.split(separator: "/").filter { $0 != "." }
  }

  private static func isDirectory(_ path: String) -> Bool {
    var status = stat()
    return unsafe stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
  }
}
