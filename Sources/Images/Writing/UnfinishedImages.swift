public import CSluiceLinux
public import SluiceSystem

/// Images that are being made. Until they are published nothing in the directory looks finished, and
/// when they never are, everything that was made is removed.
public struct UnfinishedImages: ~Copyable {
  static let suffix = ".partial"

  /// The directory, as it was named.
  public var path: String { made.handle.path }
  /// Whether the files live in memory, so that their page cache is the files themselves.
  public var isInMemory: Bool { sluice_is_in_memory(made.handle.descriptor) == 1 }
  private let made: MadeDirectory
  /// The files by their final names, in the order in which they were made; nil once they are closed.
  private var files: [(name: String, file: OutputFile?)] = []
  /// Whether the link to the parent is ours.
  private var madeLink = false
  /// Names without the suffix, once files have them.
  private var renamed: [String] = []
  private var isPublished = false
  private let owner: FileOwner?
  /// Why the files cannot be given to their owner; nil where they can, as far as that was tried.
  private var keptBecause: SystemErrno?

  /// Takes a directory for pages that a client of a page server sends. What else belongs to these images, such as the
  /// inventory, the client brings by itself, and may have brought already.
  ///
  /// - Parameter parent: the images that these build on.
  /// - Throws: `ImagesError` with `cannotCreate` when it cannot be written, holds pages already or is being written by
  ///   another run.
  public static func create(
    forSessionAt path: String, parent: ParentImages? = nil
  ) throws(ImagesError) -> UnfinishedImages {
    var images = UnfinishedImages(try make(path), owner: nil)
    try images.claim(checking: checkHoldsNoPages)
    try images.link(to: parent)
    return images
  }

  /// Takes a directory for new images, making it where there is none.
  ///
  /// - Parameters:
  ///   - parent: the images that these build on.
  ///   - owner: whose the files are to be, and the directory where it is made, once they are published; nil for the one
  ///     who runs this.
  /// - Throws: `ImagesError` with `cannotCreate` when it cannot be written, holds images already or is being
  ///   written by another run.
  public static func create(
    at path: String, parent: ParentImages? = nil, owner: FileOwner? = nil
  ) throws(ImagesError) -> UnfinishedImages {
    var images = UnfinishedImages(try make(path), owner: owner)
    try images.claim(checking: checkHoldsNoImages)
    try images.link(to: parent)
    return images
  }

  private static func make(_ path: String) throws(ImagesError) -> MadeDirectory {
    do throws(SystemError) { return try DirectoryHandle.make(path: path) } catch {
      throw ImagesError(
        .cannotCreate,
        error.code == .refused ? error.message : "making the images directory \(path)", errno: error.errno)
    }
  }

  /// Makes a directory, where there is none, that directories of images go into.
  ///
  /// It stays that of the one who runs this: whoever owned it could put another in the place of one of them while images
  /// go into it.
  ///
  /// - Parameter owner: who is to get at what is in it, by its name; nil for the one who runs this.
  /// - Throws: `ImagesError` with `cannotCreate`.
  public static func makeDirectory(at path: String, owner: FileOwner? = nil) throws(ImagesError) {
    do throws(SystemError) {
      let made = try DirectoryHandle.make(path: path)
      guard made.isNew, let owner else { return }
      // Why it cannot, where it cannot, those say that find the same of the images in it.
      try? made.handle.letPass(group: owner.group)
    } catch {
      throw ImagesError(
        .cannotCreate, error.code == .refused ? error.message : "making the directory \(path)",
        errno: error.errno)
    }
  }

  private init(_ made: consuming MadeDirectory, owner: FileOwner?) {
    self.owner = owner
    self.made = made
  }

  /// Which directory it is, whatever becomes of its path.
  ///
  /// - Throws: `ImagesError` with `io`.
  public func identity() throws(ImagesError) -> FileIdentity {
    do throws(SystemError) { return try made.handle.status().identity } catch {
      throw ImagesError(error, .io)
    }
  }

  /// Makes sure that nobody else writes here and that nothing is here that would be mixed up with new images.
  private func claim(
    checking check: ([String], _ path: String) throws(ImagesError) -> Void
  ) throws(ImagesError) {
    // The kernel lets go of the lock however this process ends. Filesystems that have no locks do without.
    let locked = sluice_lock_exclusively(made.handle.descriptor)
    guard locked == 0 || SystemErrno(returned: locked).name != "EAGAIN" else {
      throw ImagesError(
        .cannotCreate, "another run is writing images into \(path): choose another directory")
    }
    let names = try ImagesDirectory.names(in: made.handle.descriptor, path: path)
    try check(names, path)
    // Nobody holds the lock, so the run that left these is dead.
    for name in names where Self.isUnfinished(name) { try remove(name) }
  }

  private static func checkHoldsNoPages(_ names: [String], path: String) throws(ImagesError) {
    let prefixes = ["pages-", ImageFormat.pagemapPrefix, ImageFormat.sessionName]
    guard
      let image = names.first(where: { name in
        name.hasSuffix(".img") && prefixes.contains { name.hasPrefix($0) }
      })
    else { return }
    throw ImagesError(
      .cannotCreate, "\(path) already holds pages (\(image)): choose an empty directory or remove them")
  }

  static func checkHoldsNoImages(_ names: [String], path: String) throws(ImagesError) {
    guard let image = names.first(where: { $0.hasSuffix(".img") }) else { return }
    if names.contains(ParentImages.asideName) {
      throw ImagesError(
        .cannotCreate,
        "\(path) holds images that a further round was to be built on, which was interrupted: choose another directory"
      )
    }
    if !names.contains(ImageFormat.inventoryName) {
      throw ImagesError(
        .cannotCreate,
        "\(path) holds parts of images (\(image)) but no \(ImageFormat.inventoryName): a run was interrupted just before its end, and nothing can be built on them; remove them or choose an empty directory"
      )
    }
    throw ImagesError(
      .cannotCreate, "\(path) already holds images (\(image)): choose an empty directory or remove them")
  }

  /// Makes the link to the parent say what is so: one that an earlier run has left is replaced or removed.
  private mutating func link(to parent: ParentImages?) throws(ImagesError) {
    let text = try parent?.relativePath(from: made.handle.descriptor, named: path)
    guard text != "." else {
      throw ImagesError(.cannotCreate, "\(path) cannot be its own parent: choose another directory")
    }
    let found = try ImagesDirectory.link(
      named: ImageFormat.parentName, in: made.handle.descriptor, path: path)
    guard found != text else { return }
    if found != nil { try remove(ImageFormat.parentName) }
    guard let text else { return }
    do throws(SystemError) { try made.handle.link(ImageFormat.parentName, to: text) } catch {
      throw ImagesError(error, .cannotCreate)
    }
    madeLink = true
  }

  /// Whether only Sluice calls a file so while it writes it: another's *.partial is none of ours.
  static func isUnfinished(_ name: String) -> Bool {
    guard name.hasSuffix(suffix) else { return false }
    let final = name.dropLast(suffix.count)
    let isOfProcess = ["pages-", "pagemap-", "hashes-"].contains { final.hasPrefix($0) }
    return final == ImageFormat.statsName || final == ImageFormat.inventoryName
      || final == ImageFormat.sessionName || final == ImageFormat.sentName
      || final == ImageFormat.trackedName
      || isOfProcess && final.hasSuffix(".img")
  }

  deinit {
    if !isPublished { discard() }
  }

  /// Creates the pages file with this number; with `direct` past the page cache, if the filesystem can.
  ///
  /// - Throws: `ImagesError` with `cannotCreate`.
  public mutating func createPagesFile(id: UInt32, direct: Bool) throws(ImagesError) -> OutputFile {
    try create(ImageFormat.pagesName(id: id), direct: direct)
  }

  /// The name of the pagemap of a process, by the pid that it has in its own pid namespace.
  public static func pagemapName(pid: Int32) -> String { ImageFormat.pagemapName(pid: pid) }

  /// Creates the pagemap of a process, by the pid that it has in its own pid namespace.
  ///
  /// - Throws: `ImagesError` with `cannotCreate`.
  public mutating func createPagemap(pid: Int32) throws(ImagesError) -> OutputFile {
    try createPagemap(name: ImageFormat.pagemapName(pid: pid))
  }

  /// Creates a pagemap by its name.
  ///
  /// - Throws: `ImagesError` with `cannotCreate`.
  public mutating func createPagemap(name: String) throws(ImagesError) -> OutputFile {
    try create(name)
  }

  /// Creates the file for the hashes of a process's pages.
  ///
  /// - Parameter pagemap: the name of its pagemap.
  /// - Throws: `ImagesError` with `cannotCreate`.
  public mutating func createHashes(pagemap: String) throws(ImagesError) -> OutputFile {
    try create(ImageFormat.hashesName(pagemap: pagemap))
  }

  /// Copies all files of a chain's own directory but the pages and the inventory.
  ///
  /// - Throws: `ImagesError`.
  public mutating func copyOtherFiles(of chain: ImageChain) throws(ImagesError) {
    for name in try chain.otherNames() {
      let file = try create(name)
      try chain.copy(name, to: file)
    }
  }

  private mutating func create(_ name: String, direct: Bool = false) throws(ImagesError) -> OutputFile {
    let partial = name + Self.suffix
    let file = try OutputFile(creating: partial, in: made.handle, direct: direct)
    files.append((name, file))
    return file
  }

  /// Gives a file to its owner when nothing is written to it any more. Some filesystems cannot, and not everybody may.
  private mutating func give(_ file: OutputFile?) {
    guard let owner, let file, keptBecause == nil else { return }
    keptBecause = file.give(to: owner)
  }

  /// Gives the directory to its owner, if it was made for these images: the last thing that is done in it.
  private mutating func giveDirectory() {
    guard let owner, made.isNew, keptBecause == nil else { return }
    do throws(SystemError) { try made.handle.give(user: owner.user, group: owner.group) } catch {
      keptBecause = error.errno
    }
  }

  /// The names of a process's files.
  private static func names(pagesID: UInt32, pagemap: String) -> [String] {
    [ImageFormat.pagesName(id: pagesID), pagemap, ImageFormat.hashesName(pagemap: pagemap)]
  }

  /// Ends the files of a process: nothing is written to them any more.
  ///
  /// - Parameter syncs: whether to wait until they are on the disk.
  /// - Throws: `ImagesError` with `io`.
  public mutating func close(pagesID: UInt32, pagemap: String, syncs: Bool) throws(ImagesError) {
    for name in Self.names(pagesID: pagesID, pagemap: pagemap) {
      guard let index = files.firstIndex(where: { $0.name == name }) else { continue }
      give(files[index].file)
      try files[index].file?.settle(syncs: syncs)
      files[index].file = nil
    }
  }

  /// Removes a pages file, which nothing was written to.
  public mutating func discardPages(pagesID: UInt32) {
    let name = ImageFormat.pagesName(id: pagesID)
    guard let index = files.firstIndex(where: { $0.name == name }) else { return }
    files.remove(at: index)
    _ = unsafe sluice_unlink_at(made.handle.descriptor, name + Self.suffix, false)
  }

  /// Says that the pages are not in the directory, and where they are.
  ///
  /// - Throws: `ImagesError`.
  public mutating func note(_ mark: SentMark) throws(ImagesError) {
    try createWhole(ImageFormat.sentName, bytes: mark.encoded())
  }

  /// Removes the files of a process, which then has no images. What cannot be removed is not published.
  public mutating func discard(pagesID: UInt32, pagemap: String) {
    for name in Self.names(pagesID: pagesID, pagemap: pagemap) {
      guard let index = files.firstIndex(where: { $0.name == name }) else { continue }
      files.remove(at: index)
      _ = unsafe sluice_unlink_at(made.handle.descriptor, name + Self.suffix, false)
    }
  }

  /// Makes the images valid: everything goes to the disk, files take their names, the inventory last.
  ///
  /// - Parameter syncs: whether to wait until everything is on the disk. Without it, a machine that goes
  ///   down soon after may leave images that look finished and are not.
  /// - Returns: why they cannot be given to their owner, and stay those of the one who runs this; nil where they can.
  /// - Throws: `ImagesError` with `io`; the images are then removed.
  @discardableResult
  public consuming func publish(
    inventory: Inventory, statistics: DumpStatistics, trackedProcesses: TrackedProcesses? = nil, syncs: Bool
  ) throws(ImagesError) -> SystemErrno? {
    try createWhole(ImageFormat.statsName, bytes: statistics.encoded())
    if let trackedProcesses { try createWhole(ImageFormat.trackedName, bytes: trackedProcesses.encoded()) }
    return try publish(inventory: inventory.encoded(), syncs: syncs)
  }

  /// Makes images valid that are a copy of others, with their inventory.
  ///
  /// - Throws: `ImagesError`; the images are then removed.
  public consuming func publish(inventoryOf chain: ImageChain, syncs: Bool) throws(ImagesError) {
    if try chain.completion() == .received, let mark = try chain.sessionMark() {
      return try publish(mark, syncs: syncs)
    }
    _ = try publish(inventory: chain.inventoryBytes(), syncs: syncs)
  }

  /// Makes pages valid that a client has sent: everything goes to the disk, files take their names, and at last the mark
  /// that says so.
  ///
  /// - Parameter parent: the images that these build on, which may have become known only since they were begun.
  /// - Throws: `ImagesError` with `io` or `cannotCreate`; what was received is then removed.
  public consuming func publish(
    _ mark: SessionMark, parent: ParentImages?, syncs: Bool
  ) throws(ImagesError) {
    try link(to: parent)
    try publish(mark, syncs: syncs)
  }

  private consuming func publish(_ mark: SessionMark, syncs: Bool) throws(ImagesError) {
    _ = try publish(last: ImageFormat.sessionName, bytes: mark.encoded(), syncs: syncs)
  }

  private consuming func publish(inventory: [UInt8], syncs: Bool) throws(ImagesError) -> SystemErrno? {
    try publish(last: ImageFormat.inventoryName, bytes: inventory, syncs: syncs)
  }

  /// - Parameter last: the file that makes the others valid.
  private consuming func publish(last: String, bytes: [UInt8], syncs: Bool) throws(ImagesError)
    -> SystemErrno?
  {
    for (_, file) in files { give(file) }
    try settleFiles(syncs: syncs)
    for (name, _) in files { try rename(name) }
    files.removeAll()
    try createWhole(last, bytes: bytes)
    for (_, file) in files { give(file) }
    try settleFiles(syncs: syncs)
    try rename(last)
    giveDirectory()
    let synced = syncs ? sluice_fsync(made.handle.descriptor) : 0
    guard synced == 0 else { throw OutputFile.writeFailed(path, result: Int(synced)) }
    isPublished = true
    return keptBecause
  }

  private func settleFiles(syncs: Bool) throws(ImagesError) {
    for (_, file) in files { try file?.settle(syncs: syncs) }
  }

  private mutating func createWhole(_ name: String, bytes: [UInt8]) throws(ImagesError) {
    let file = try create(name)
    try file.write(bytes, at: 0)
  }

  private mutating func rename(_ name: String) throws(ImagesError) {
    let result = unsafe sluice_rename_at(made.handle.descriptor, name + Self.suffix, name)
    guard result == 0 else {
      throw ImagesError(.io, "renaming \(path)/\(name)\(Self.suffix)", errno: SystemErrno(returned: result))
    }
    renamed.append(name)
  }

  private func remove(_ name: String) throws(ImagesError) {
    let result = unsafe sluice_unlink_at(made.handle.descriptor, name, false)
    guard result == 0 else {
      throw ImagesError(
        .cannotCreate, "removing \(path)/\(name), which an earlier run has left",
        errno: SystemErrno(returned: result))
    }
  }

  /// Removes what was made, the inventory first. What cannot be removed stays: without an inventory it is
  /// unfinished for everybody.
  private func discard() {
    for name in renamed.reversed() { _ = unsafe sluice_unlink_at(made.handle.descriptor, name, false) }
    for (name, _) in files { _ = unsafe sluice_unlink_at(made.handle.descriptor, name + Self.suffix, false) }
    if madeLink { _ = unsafe sluice_unlink_at(made.handle.descriptor, ImageFormat.parentName, false) }
    made.remove()
  }
}
