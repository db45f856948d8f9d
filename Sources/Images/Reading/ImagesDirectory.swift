internal import CSluiceLinux
internal import SluiceSystem

/// A directory of images, opened for looking at it.
public struct ImagesDirectory: ~Copyable, Sendable {
  /// The directory, as it was named.
  public var path: String { handle.path }
  /// The size of a page in bytes: that of this machine, since images do not say.
  public let pageSize = UInt64(sluice_page_size())
  let handle: DirectoryHandle
  var descriptor: Int32 { handle.descriptor }

  /// - Throws: `ImagesError` with `noSuchDirectory`, or `io` when it cannot be opened.
  public init(path: String) throws(ImagesError) {
    do throws(SystemError) {
      handle = try DirectoryHandle(path: path)
    } catch {
      if error.code == .refused, error.errno == nil { throw ImagesError(error, .io) }
      // None has a name that is too long, or is behind links in a circle.
      let isMissing = ["ENOENT", "ENOTDIR", "ENAMETOOLONG", "ELOOP"].contains(error.errno?.name)
      throw ImagesError(
        isMissing ? .noSuchDirectory : .io, "opening the images directory \(path)", errno: error.errno)
    }
  }

  /// Opens a directory that was made before.
  ///
  /// - Parameter expected: which one it is; nil for any.
  /// - Throws: `ImagesError`, `malformed` where another has taken its place.
  static func open(path: String, expecting expected: FileIdentity?) throws(ImagesError) -> ImagesDirectory {
    let directory = try ImagesDirectory(path: path)
    if let expected, try directory.identity() != expected {
      throw ImagesError(.malformed, "\(path) was replaced by another directory since the images were made")
    }
    return directory
  }

  /// The same directory once more.
  ///
  /// - Throws: `ImagesError` with `io`.
  func again() throws(ImagesError) -> ImagesDirectory {
    do throws(SystemError) { return ImagesDirectory(try handle.copy()) } catch {
      throw ImagesError(error, .io)
    }
  }

  /// A directory that is open already.
  init(_ handle: consuming DirectoryHandle) {
    self.handle = handle
  }

  /// Opens a file of the directory, if that is what is there: it may have come from anywhere.
  ///
  /// - Returns: nil when there is none.
  /// - Throws: `ImagesError`: `malformed` for a link, a FIFO or whatever else is in its place.
  func openFile(_ name: String) throws(ImagesError) -> OpenFile? {
    do throws(SystemError) {
      return try handle.openForReading(name)
    } catch {
      switch error.code {
      case .missing: return nil
      case .refused: throw ImagesError(error, .malformed)
      case .failed: throw ImagesError(error, .io)
      }
    }
  }

  /// Which directory it is, whatever its path.
  ///
  /// - Throws: `ImagesError` with `io`.
  func identity() throws(ImagesError) -> FileIdentity {
    do throws(SystemError) { return try handle.status().identity } catch { throw ImagesError(error, .io) }
  }

  /// The directory that the `parent` link leads to.
  ///
  /// - Parameter trust: whose links are followed.
  /// - Returns: nil when there is no link.
  /// - Throws: `ImagesError`: `malformed` where it leads nowhere, or is not followed.
  func parent(trust: Trust) throws(ImagesError) -> ImagesDirectory? {
    do throws(SystemError) {
      guard let parent = try handle.follow(ImageFormat.parentName, trust: trust) else { return nil }
      return ImagesDirectory(parent)
    } catch {
      switch error.code {
      case .missing:
        throw ImagesError(
          .malformed, "the parent of \(path) is not there: \(error.message)", errno: error.errno)
      case .refused: throw ImagesError(error, .malformed)
      case .failed: throw ImagesError(error, .io)
      }
    }
  }

  /// More files than this are not listed. A process has three in a pre-dump, and some fifteen in a full dump.
  static let mostNames = 1 << 17

  /// Whether a directory has that name in this one.
  ///
  /// - Throws: `ImagesError` with `io`.
  func isDirectory(_ name: String) throws(ImagesError) -> Bool {
    do throws(SystemError) { return try handle.status(of: name)?.kind == .directory } catch {
      throw ImagesError(error, .io)
    }
  }

  /// The names of all files in the directory, sorted.
  ///
  /// - Throws: `ImagesError` with `io`, or `malformed` where there are too many.
  func names() throws(ImagesError) -> [String] {
    try Self.names(in: descriptor, path: path)
  }

  static func names(in descriptor: Int32, path: String) throws(ImagesError) -> [String] {
    // One more than there may be tells that there are too many.
    var names: [String] = []
    let result = unsafe withUnsafeMutablePointer(to: &names) { pointer in
      unsafe sluice_list_directory(descriptor, pointer) { context, name in
        guard let context = unsafe context, let name = unsafe name else { return }
        let names = unsafe context.assumingMemoryBound(to: [String].self)
        guard unsafe names.pointee.count <= ImagesDirectory.mostNames else { return }
        unsafe names.pointee.append(String(cString: name))
      }
    }
    guard result == 0 else {
      throw ImagesError(.io, "listing the images directory \(path)", errno: SystemErrno(returned: result))
    }
    guard names.count <= mostNames else {
      throw ImagesError(
        .malformed, "\(path) has more than \(mostNames) files, so it is not a directory of images")
    }
    return names.sorted()
  }

  /// What inventory.img says; nil when there is none, which is to say that the images are unfinished.
  ///
  /// - Throws: `ImagesError` when it cannot be read.
  public func inventory() throws(ImagesError) -> Inventory? {
    guard var reader = try RecordReader(opening: ImageFormat.inventoryName, in: self) else { return nil }
    return try Inventory(reading: &reader)
  }

  /// How far the images of a directory have come.
  public enum Completion: Hashable, Sendable {
    /// A run was interrupted, or is under way.
    case unfinished
    /// They are whole.
    case complete(Inventory)
    /// They are whole, and no further round can build on them: one that was to do so is under way, or was interrupted
    /// after it had taken from the kernel what was written since.
    case setAside(Inventory)
    /// A page server has all pages that were sent to it; the inventory is where its client is.
    case received

    /// What the inventory says, wherever it is.
    public var inventory: Inventory? {
      switch self {
      case .unfinished, .received: nil
      case .complete(let inventory), .setAside(let inventory): inventory
      }
    }
  }

  /// How far the images have come.
  ///
  /// - Throws: `ImagesError` when the inventory cannot be read.
  public func completion() throws(ImagesError) -> Completion {
    if let inventory = try inventory() { return .complete(inventory) }
    if var reader = try RecordReader(opening: ParentImages.asideName, in: self) {
      return .setAside(try Inventory(reading: &reader))
    }
    // It may have been put back between these two looks.
    if let inventory = try inventory() { return .complete(inventory) }
    return try sessionMark() == nil ? .unfinished : .received
  }

  /// Whose writes are tracked since the images were made; nil for images that are not Sluice's.
  ///
  /// - Throws: `ImagesError` when that cannot be read.
  public func tracked() throws(ImagesError) -> TrackedProcesses? {
    guard var reader = try RecordReader(opening: ImageFormat.trackedName, in: self) else { return nil }
    return try TrackedProcesses(reading: &reader)
  }

  /// The pids that there are pagemap images of, in order.
  ///
  /// - Throws: `ImagesError` when the directory cannot be listed.
  public func pids() throws(ImagesError) -> [Int32] {
    try names().compactMap { name in
      guard name.hasPrefix("pagemap-"), name.hasSuffix(".img") else { return nil }
      return Int32(name.dropFirst("pagemap-".count).dropLast(".img".count))
    }.sorted()
  }

  /// Whether a run has begun to write here, and not finished.
  ///
  /// - Throws: `ImagesError` when the directory cannot be listed.
  public func hasPartialFiles() throws(ImagesError) -> Bool {
    try names().contains(where: UnfinishedImages.isUnfinished)
  }

  /// The text of the `parent` link, relative to this directory; nil when there is none.
  ///
  /// - Throws: `ImagesError` with `io`.
  public func parentLink() throws(ImagesError) -> String? {
    try link(named: ImageFormat.parentName)
  }

  func link(named name: String) throws(ImagesError) -> String? {
    try Self.link(named: name, in: descriptor, path: path)
  }

  static func link(
    named name: String, in descriptor: Int32, path: String
  ) throws(ImagesError) -> String? {
    do throws(SystemError) {
      return try SymbolicLink.text(of: name, in: descriptor, called: "\(path)/\(name)")
    } catch {
      if error.code == .missing { return nil }
      throw ImagesError(error, .io)
    }
  }

  /// The size of a pages file, and what it takes on its disk.
  public struct PagesFile: Hashable, Sendable {
    /// The file's length.
    public let byteCount: UInt64
    /// Holes take nothing.
    public let allocatedBytes: UInt64
  }

  /// - Returns: nil when there is no such file, as where a process had no page to write.
  /// - Throws: `ImagesError` with `io`, or `malformed` for what is no regular file.
  public func pagesFile(id: UInt32) throws(ImagesError) -> PagesFile? {
    guard let file = try openFile(ImageFormat.pagesName(id: id)) else { return nil }
    return PagesFile(byteCount: file.status.byteCount, allocatedBytes: file.status.allocatedBytes)
  }
}
