internal import CSluiceLinux
public import SluiceSystem

/// An earlier directory of images, as the base of a new round.
///
/// What a round clears from the dirty tracker, only its own completion makes good: so while it runs, the
/// parent has no inventory, and neither CRIU nor Sluice builds on it.
public final class ParentImages: Sendable {
  /// What inventory.img is called while a round that builds on the directory is unfinished.
  static let asideName = ImageFormat.inventoryName + ".aside"
  /// A link to the round that was built on the directory.
  static let childName = "child"

  /// The directory, as it was named.
  public let path: String
  /// What the inventory says; nil when there is none.
  public let inventory: Inventory?
  /// Whose writes are tracked; nil for images that are not Sluice's.
  public let tracked: TrackedProcesses?
  /// Why there is no inventory: a round that was to be built on these images was interrupted after it had
  /// cleared the dirty tracker.
  public let isSetAside: Bool
  /// The text of the link to a round that was built on these images already.
  public let child: String?
  /// Why pages of the images are gone that a newer directory has anew; nil where none are.
  public let dedupMark: DedupMark?
  private let directory: ImagesDirectory
  /// The images with those that they build on, or why these cannot be read.
  private let chain: Result<ImageChain, ImagesError>
  private let trust: Trust

  /// - Parameters:
  ///   - expected: which directory the path must lead to; nil for any.
  ///   - trust: whose links further up the chain are followed, and whose files may be written.
  /// - Throws: `ImagesError` with `noSuchDirectory`, `io` or `malformed`.
  public init(
    path: String, expecting expected: FileIdentity? = nil, trust: Trust = Trust()
  ) throws(ImagesError) {
    self.trust = trust
    let directory = try ImagesDirectory.open(path: path, expecting: expected)
    self.path = path
    switch try directory.completion() {
    case .unfinished, .received: (inventory, isSetAside) = (nil, false)
    case .complete(let found): (inventory, isSetAside) = (found, false)
    case .setAside: (inventory, isSetAside) = (nil, true)
    }
    tracked = try directory.tracked()
    child = try directory.link(named: Self.childName)
    dedupMark = try directory.dedupMark()
    self.directory = directory
    do throws(ImagesError) {
      let chain = try ImageChain(try self.directory.again(), trust: trust)
      try chain.checkLevels()
      self.chain = .success(chain)
    } catch {
      chain = .failure(error)
    }
  }

  /// How many directories there are, with all that these images build on.
  public var depth: Int {
    switch chain {
    case .success(let chain): chain.depth
    case .failure: 1
    }
  }

  /// Which pages of a process the images have.
  ///
  /// - Parameter pid: in the process' own pid namespace.
  /// - Returns: nil when there is no pagemap of that pid.
  /// - Throws: `ImagesError` when it cannot be read.
  public func coverage(pid: Int32) throws(ImagesError) -> PagemapCoverage? {
    try PagemapCoverage.open(pid: pid, in: directory)
  }

  /// Which pages the images have of what a pagemap is of.
  ///
  /// - Parameter pagemap: its name.
  /// - Returns: nil when there is no such pagemap.
  /// - Throws: `ImagesError` when it cannot be read.
  public func coverage(pagemap: String) throws(ImagesError) -> PagemapCoverage? {
    try PagemapCoverage.open(pagemap: pagemap, in: directory)
  }

  /// Whether there is a pagemap of that name.
  ///
  /// - Throws: `ImagesError` with `io`.
  public func has(pagemap: String) throws(ImagesError) -> Bool {
    try RecordReader(opening: pagemap, in: directory) != nil
  }

  /// The hashes of a process' pages.
  ///
  /// - Parameter pagemap: the name of its pagemap.
  /// - Returns: nil when there are none.
  /// - Throws: `ImagesError` when they cannot be read.
  public func hashes(pagemap: String) throws(ImagesError) -> PageHashReader? {
    try PageHashReader.open(pagemap: pagemap, in: directory)
  }

  /// The seed of the hashes of the pages; nil where there are none that are understood.
  ///
  /// - Throws: `ImagesError` when they cannot be read.
  public func hashSeed() throws(ImagesError) -> UInt64? {
    do throws(ImagesError) {
      let prefix = ImageFormat.hashesPrefix
      for name in try directory.names() where name.hasPrefix(prefix) && name.hasSuffix(".img") {
        let hashes = try PageHashReader.open(
          pagemap: ImageFormat.pagemapPrefix + name.dropFirst(prefix.count), in: directory)
        switch hashes {
        case .some(let hashes): return hashes.head.seed
        case .none: continue
        }
      }
      return nil
    } catch {
      // What is wrong with them is told when they are to be compared with.
      guard error.code == .malformed else { throw error }
      return nil
    }
  }

  /// Makes sure that the images, and those that they build on in their turn, have every page of a process that they
  /// promise.
  ///
  /// - Parameter pid: in the process' own pid namespace.
  /// - Throws: `ImagesError` with `malformed` when they do not.
  public func checkChain(pid: Int32) throws(ImagesError) {
    let chain = try chain.get()
    guard try has(pid: pid) else { return }
    try ChainPagemap(name: ImageFormat.pagemapName(pid: pid), in: chain).check()
  }

  /// Whether there are images of a process.
  ///
  /// - Parameter pid: in the process' own pid namespace.
  /// - Throws: `ImagesError` with `io`.
  public func has(pid: Int32) throws(ImagesError) -> Bool {
    try has(pagemap: ImageFormat.pagemapName(pid: pid))
  }

  /// The way from another directory to this one, as a link in it says it: relative, so that the chain can be
  /// moved as a whole.
  ///
  /// - Throws: `ImagesError` with `io` when the kernel does not tell where the directories are.
  func relativePath(from descriptor: Int32, named name: String) throws(ImagesError) -> String {
    RelativePath.from(
      try DirectoryPath.real(of: descriptor, named: name),
      to: try DirectoryPath.real(of: directory.descriptor, named: path))
  }

  /// Takes the inventory away, before the dirty tracker is cleared.
  ///
  /// - Throws: `ImagesError` with `cannotCreate`; the inventory is where it was then.
  public func setAside() throws(ImagesError) {
    do throws(SystemError) {
      try directory.handle.checkWritable(ImageFormat.inventoryName, trust: trust)
    } catch {
      throw ImagesError(error, .cannotCreate)
    }
    let renamed = unsafe sluice_rename_at(directory.descriptor, ImageFormat.inventoryName, Self.asideName)
    let result = renamed == 0 ? sluice_fsync(directory.descriptor) : renamed
    guard result == 0 else {
      let errno = SystemErrno(returned: result)
      if renamed == 0 { try putBack() }
      throw ImagesError(
        .cannotCreate,
        "setting \(path)/\(ImageFormat.inventoryName) aside, before the dirty pages of its processes are read",
        errno: errno)
    }
  }

  /// Puts the inventory back, when the round is complete or nothing was cleared.
  ///
  /// - Throws: `ImagesError` with `io`; the images then stay unfinished for everybody.
  public func putBack() throws(ImagesError) {
    let result = unsafe sluice_rename_at(directory.descriptor, Self.asideName, ImageFormat.inventoryName)
    guard result == 0 else {
      throw ImagesError(
        .io, "renaming \(path)/\(Self.asideName) back to \(ImageFormat.inventoryName)",
        errno: SystemErrno(returned: result))
    }
  }

  /// Has nobody build on these images by the soft-dirty bits: they do not tell all that was written since.
  ///
  /// - Parameter owner: whose the inventory is to be; nil for the one who runs this.
  /// - Returns: whether that is new.
  /// - Throws: `ImagesError`; the inventory is as it was then.
  public func distrustSoftDirty(owner: FileOwner? = nil) throws(ImagesError) -> Bool {
    guard let inventory, let uptime = inventory.dumpUptime, !inventory.distrustsSoftDirty else {
      return false
    }
    let (name, temporary) = (ImageFormat.inventoryName, ImageFormat.inventoryName + UnfinishedImages.suffix)
    do throws(ImagesError) {
      let file = try OutputFile(creating: temporary, in: directory.handle)
      let distrusting = Inventory.distrusting(uptime: uptime, preDumpMode: inventory.preDumpMode)
      try file.write(distrusting.encoded(), at: 0)
      // Why it cannot, where it cannot, was said when the images were made.
      if let owner { _ = file.give(to: owner) }
      try file.sync()
      let renamed = unsafe sluice_rename_at(directory.descriptor, temporary, name)
      guard renamed == 0 else {
        throw ImagesError(
          .io, "renaming \(path)/\(temporary) to \(name)", errno: SystemErrno(returned: renamed))
      }
    } catch {
      _ = unsafe sluice_unlink_at(directory.descriptor, temporary, false)
      throw error
    }
    return true
  }

  /// Notes that a round was built on these images, whose dirty pages they therefore no longer know.
  ///
  /// - Parameters:
  ///   - child: the directory of that round.
  ///   - expected: which one it is, whatever the path leads to by now.
  /// - Throws: `ImagesError` with `io`, or `malformed` where it is not there any more.
  public func noteChild(at child: String, expecting expected: FileIdentity? = nil) throws(ImagesError) {
    let other = try ImagesDirectory.open(path: child, expecting: expected)
    let text = RelativePath.from(
      try DirectoryPath.real(of: directory.descriptor, named: path),
      to: try DirectoryPath.real(of: other.descriptor, named: child))
    let result = unsafe sluice_symlink_at(text, directory.descriptor, Self.childName)
    guard result == 0 || SystemErrno(returned: result).name == "EEXIST" else {
      throw ImagesError(
        .io, "making the link \(path)/\(Self.childName)", errno: SystemErrno(returned: result))
    }
  }
}
