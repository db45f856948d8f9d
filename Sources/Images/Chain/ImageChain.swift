public import SluiceSystem

/// A directory of images and all those that it builds on: its parent, that one's parent, and so on.
public struct ImageChain: Sendable {
  /// One of the directories.
  final class Level: Sendable {
    let directory: ImagesDirectory
    /// Whose files in it may be written.
    let trust: Trust

    init(_ directory: consuming ImagesDirectory, trust: Trust) {
      self.directory = directory
      self.trust = trust
    }

    /// The pagemaps in it, sorted.
    func pagemapNames() throws(ImagesError) -> [String] {
      try directory.names().filter { $0.hasPrefix("pagemap-") && $0.hasSuffix(".img") }
    }
  }

  /// More directories than this are not opened: each takes descriptors, and memory when it is read.
  public static let mostLevels = 1000

  /// The directory itself first, the oldest last.
  let levels: [Level]

  /// Opens a directory and its parents.
  ///
  /// - Parameters:
  ///   - expected: which directory the path must lead to; nil for any.
  ///   - trust: whose links are followed, and whose files may be written.
  /// - Throws: `ImagesError` with `noSuchDirectory`, `io`, or `malformed` for parents that go round in a circle, are too
  ///   many, or are not to be trusted.
  public init(
    path: String, expecting expected: FileIdentity? = nil, trust: Trust = Trust()
  ) throws(ImagesError) {
    try self.init(ImagesDirectory.open(path: path, expecting: expected), trust: trust)
  }

  /// The chain of a directory that is open already.
  init(_ directory: consuming ImagesDirectory, trust: Trust) throws(ImagesError) {
    var levels = [Level(directory, trust: trust)]
    var seen: Set<FileIdentity> = []
    while let last = levels.last {
      guard levels.count <= Self.mostLevels else {
        throw ImagesError(
          .malformed,
          "\(levels[0].directory.path) builds on more than \(Self.mostLevels - 1) directories: make one of them earlier ('sluice flatten')"
        )
      }
      guard seen.insert(try last.directory.identity()).inserted else {
        throw ImagesError(.malformed, "the parents of \(levels[0].directory.path) form a circle")
      }
      guard let parent = try last.directory.parent(trust: trust) else { break }
      levels.append(Level(parent, trust: trust))
    }
    self.levels = levels
  }

  /// The directory, as it was named.
  public var path: String { levels[0].directory.path }
  /// How many directories there are.
  public var depth: Int { levels.count }

  /// How far the directory's images have come.
  ///
  /// - Throws: `ImagesError` when its inventory cannot be read.
  public func completion() throws(ImagesError) -> ImagesDirectory.Completion {
    try levels[0].directory.completion()
  }

  /// What a page server says of the pages that it has received; nil where none has made the directory.
  ///
  /// - Throws: `ImagesError` when that cannot be read.
  public func sessionMark() throws(ImagesError) -> SessionMark? { try levels[0].directory.sessionMark() }

  /// Whose writes are tracked since the directory's images were made; nil for images that are not Sluice's.
  ///
  /// - Throws: `ImagesError` when that cannot be read.
  public func tracked() throws(ImagesError) -> TrackedProcesses? {
    try levels[0].directory.tracked()
  }

  /// Makes sure that what is read in this chain means what it says: that no directory is of a version that is not known,
  /// and none lacks pages that were given back for another chain's sake.
  ///
  /// - Throws: `ImagesError` with `malformed` when it is not so.
  public func checkLevels() throws(ImagesError) {
    for level in levels { _ = try level.directory.completion() }
    if let problem = try dedupProblems().first { throw ImagesError(.malformed, problem) }
  }

  /// The pagemaps in the directory: "pagemap-17.img" of process 17, "pagemap-shmem-5.img" of shared memory.
  ///
  /// - Throws: `ImagesError` when the directory cannot be listed.
  public func pagemapNames() throws(ImagesError) -> [String] {
    try levels[0].pagemapNames()
  }

  /// All other files of the directory that a copy of it has as they are: not its pages and its inventory, nor what is
  /// true of this directory alone.
  ///
  /// - Throws: `ImagesError` when the directory cannot be listed.
  public func otherNames() throws(ImagesError) -> [String] {
    var own = [
      ImageFormat.parentName, ParentImages.childName, ImageFormat.inventoryName, ParentImages.asideName,
      ImageFormat.deduplicatedName, ImageFormat.sessionName, ImageFormat.sentName,
    ]
    if try isBuiltUpon() { own.append(ImageFormat.trackedName) }
    var names = try levels[0].directory.names()
    names.removeAll { name in
      name.hasPrefix("pagemap-") || name.hasPrefix("pages-") || own.contains(name)
        || name.hasSuffix(UnfinishedImages.suffix)
    }
    // A directory, such as that of another run's round, is no file of these images.
    var files: [String] = []
    for name in names where try !levels[0].directory.isDirectory(name) { files.append(name) }
    return files
  }

  /// Whether what was written since these images were made was taken from the kernel for a further round: then neither
  /// they nor a copy of them are a base for another one.
  ///
  /// - Throws: `ImagesError` when that cannot be read.
  public func isBuiltUpon() throws(ImagesError) -> Bool {
    if case .setAside = try completion() { return true }
    return try levels[0].directory.link(named: ParentImages.childName) != nil
  }

  /// The bytes of inventory.img for a copy of the directory.
  ///
  /// - Throws: `ImagesError` with `malformed` when there is none.
  func inventoryBytes() throws(ImagesError) -> [UInt8] {
    let isAside: Bool
    if case .setAside = try completion() { isAside = true } else { isAside = false }
    let name = isAside ? ParentImages.asideName : ImageFormat.inventoryName
    guard var reader = try RecordReader(opening: name, in: levels[0].directory) else {
      throw ImagesError(
        .malformed, "\(path)/\(name) is not there: the run that makes the images was interrupted")
    }
    // Without that moment neither CRIU nor Sluice takes the copy for a base.
    return try Inventory.copy(reading: &reader, withoutUptime: try isBuiltUpon())
  }

  /// Copies a file of the directory. Its holes stay such: a file may be far longer than what it takes on its disk.
  func copy(_ name: String, to output: OutputFile) throws(ImagesError) {
    let path = "\(path)/\(name)"
    guard let file = try InputFile(opening: name, in: levels[0].directory, path: path) else { return }
    var bytes = [UInt8](repeating: 0, count: ImageFormat.longestRecord)
    var offset: UInt64 = 0
    while let data = try file.nextData(from: offset) {
      let count = try file.read(at: data, into: &bytes)
      guard count > 0 else { break }
      try output.write(Array(bytes[..<count]), at: data)
      offset = data + UInt64(count)
    }
    try output.setSize(try file.byteCount())
  }
}
