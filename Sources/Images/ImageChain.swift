internal import CSluiceLinux

/// A directory of images and all those that it builds on: its parent, that one's parent, and so on.
public struct ImageChain: Sendable {
  /// One of the directories.
  final class Level: Sendable {
    let directory: ImagesDirectory

    init(_ directory: consuming ImagesDirectory) {
      self.directory = directory
    }
  }

  /// The directory itself first, the oldest last.
  let levels: [Level]

  /// Opens a directory and its parents.
  ///
  /// - Throws: `ImagesError` with `noSuchDirectory`, `io`, or `malformed` for parents that go round in a circle.
  public init(path: String) throws(ImagesError) {
    var levels: [Level] = []
    var seen: Set<String> = []
    var next: String? = path
    while let path = next {
      let directory: ImagesDirectory
      do throws(ImagesError) {
        directory = try ImagesDirectory(path: path)
      } catch {
        guard let child = levels.last, error.code == .noSuchDirectory else { throw error }
        throw ImagesError(
          .malformed, "the parent of \(child.directory.path) is not there: \(path)", errno: error.errno)
      }
      guard seen.insert(try DirectoryPath.real(of: directory.descriptor, named: path)).inserted else {
        throw ImagesError(.malformed, "the parents of \(levels[0].directory.path) go round in a circle")
      }
      next = try directory.parentLink().map { $0.hasPrefix("/") ? $0 : "\(path)/\($0)" }
      levels.append(Level(directory))
    }
    self.levels = levels
  }

  /// The directory, as it was named.
  public var path: String { levels[0].directory.path }
  /// How many directories there are.
  public var depth: Int { levels.count }

  /// Whether the directory's images are complete.
  ///
  /// - Throws: `ImagesError` when its inventory cannot be read.
  public func isFinished() throws(ImagesError) -> Bool {
    try levels[0].directory.inventory() != nil
  }

  /// The pagemaps in the directory: "pagemap-17.img" of task 17, "pagemap-shmem-5.img" of shared memory.
  ///
  /// - Throws: `ImagesError` when the directory cannot be listed.
  public func pagemapNames() throws(ImagesError) -> [String] {
    try levels[0].directory.names().filter { $0.hasPrefix("pagemap-") && $0.hasSuffix(".img") }
  }

  /// All other files of the directory but its pages and its inventory.
  ///
  /// - Throws: `ImagesError` when the directory cannot be listed.
  public func otherNames() throws(ImagesError) -> [String] {
    let links = [ImageFormat.parentName, ParentImages.childName]
    return try levels[0].directory.names().filter { name in
      !name.hasPrefix("pagemap-") && !name.hasPrefix("pages-") && name != ImageFormat.inventoryName
        && !links.contains(name) && !name.hasSuffix(UnfinishedImages.suffix)
    }
  }

  /// The bytes of inventory.img.
  ///
  /// - Throws: `ImagesError` with `malformed` when there is none.
  func inventoryBytes() throws(ImagesError) -> [UInt8] {
    let path = "\(path)/\(ImageFormat.inventoryName)"
    guard let file = try InputFile(opening: ImageFormat.inventoryName, in: levels[0].directory, path: path)
    else {
      throw ImagesError(.malformed, "\(path) is not there: the run that makes the images was interrupted")
    }
    var bytes = [UInt8](repeating: 0, count: ImageFormat.longestRecord)
    let count = try file.read(at: 0, into: &bytes)
    return [UInt8](bytes[..<count])
  }

  /// Copies a file of the directory.
  func copy(_ name: String, to output: OutputFile) throws(ImagesError) {
    let path = "\(path)/\(name)"
    guard let file = try InputFile(opening: name, in: levels[0].directory, path: path) else { return }
    var bytes = [UInt8](repeating: 0, count: ImageFormat.longestRecord)
    var offset: UInt64 = 0
    while true {
      let count = try file.read(at: offset, into: &bytes)
      guard count > 0 else { return }
      try output.write(Array(bytes[..<count]), at: offset)
      offset += UInt64(count)
    }
  }
}
