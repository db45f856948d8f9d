internal import CSluiceLinux
internal import Glibc

/// A file that has no name yet, or none that anybody should use: it goes where it is given none.
public struct UnnamedFile: ~Copyable, Sendable {
  /// The file; nil once it was taken.
  private var created: CreatedFile?
  private let directory: DirectoryHandle
  private let name: String
  /// The name that it has meanwhile, where the filesystem has no files without one.
  private let temporary: String?
  /// Whether it has its name.
  private var isNamed = false

  fileprivate init(
    _ created: consuming CreatedFile, in directory: consuming DirectoryHandle, name: String,
    temporary: String?
  ) {
    self.created = consume created
    self.directory = directory
    self.name = name
    self.temporary = temporary
  }

  /// Makes a file that will have this path.
  ///
  /// - Parameters:
  ///   - replaces: whether there may be something by that path.
  ///   - direct: whether I/O is to go past the page cache, where the filesystem can.
  /// - Throws: `SystemError`, EEXIST where there is something and may not be.
  public static func create(
    at path: String, replacing replaces: Bool, direct: Bool
  ) throws(SystemError) -> UnnamedFile {
    let (outer, name) = DirectoryHandle.split(path)
    guard let name else { throw SystemError("making the file \(path), which has no name", returned: -EISDIR) }
    let directory = try DirectoryHandle(path: outer)
    if !replaces, try directory.status(of: name) != nil {
      throw SystemError(
        "making the file \(path): choose another name, or have it replaced (--force)", returned: -EEXIST)
    }
    return try directory.createUnnamed(for: name, direct: direct)
  }

  /// Hands the file itself to somebody else.
  public mutating func takeFile() -> CreatedFile? { created.take() }

  deinit {
    if let temporary, !isNamed { _ = unsafe sluice_unlink_at(directory.descriptor, temporary, false) }
  }

  /// Gives the file its name, and waits until the directory is on the disk.
  ///
  /// - Parameters:
  ///   - descriptor: of the file.
  ///   - replaces: whether it takes the place of what has the name already.
  /// - Throws: `SystemError`, EEXIST where something has the name.
  public mutating func giveName(to descriptor: Int32, replacing replaces: Bool) throws(SystemError) {
    let path = directory.path(of: name)
    var result: Int32
    if let temporary {
      result = Self.rename(temporary, name, in: directory.descriptor, replacing: replaces)
    } else {
      result = unsafe sluice_name_unnamed(descriptor, directory.descriptor, name)
      if result == -EEXIST, replaces {
        let between = ".\(name).sluice-\(getpid())-\(sluice_thread_id())"
        result = unsafe sluice_name_unnamed(descriptor, directory.descriptor, between)
        if result == 0 { result = unsafe sluice_rename_at(directory.descriptor, between, name) }
        if result != 0 { _ = unsafe sluice_unlink_at(directory.descriptor, between, false) }
      }
    }
    guard result == 0 else { throw SystemError("naming the finished file \(path)", returned: result) }
    isNamed = true
    let synced = sluice_fsync(directory.descriptor)
    // Some filesystems have no such thing for directories.
    guard synced == 0 || synced == -EINVAL else {
      // What it took the place of is gone, and it is whole.
      if !replaces { _ = unsafe sluice_unlink_at(directory.descriptor, name, false) }
      throw SystemError("writing the directory of \(path)", returned: synced)
    }
  }

  private static func rename(
    _ from: String, _ to: String, in directory: Int32, replacing replaces: Bool
  ) -> Int32 {
    if replaces { return unsafe sluice_rename_at(directory, from, to) }
    let result = unsafe sluice_rename_new(directory, from, to)
    guard result == -EINVAL else { return result }
    // A link is never made over what is there.
    return unsafe sluice_link_at(directory, from, to)
  }
}

extension DirectoryHandle {
  /// Makes a file that gets its name when it is finished: until then nobody finds it, and when we are killed nothing is left
  /// of it, but on filesystems that have no files without a name.
  ///
  /// - Parameters:
  ///   - name: that it will have.
  ///   - direct: whether I/O is to go past the page cache, where the filesystem can.
  /// - Throws: `SystemError`.
  public consuming func createUnnamed(
    for name: String, direct: Bool
  ) throws(SystemError) -> UnnamedFile {
    for isDirect in direct ? [true, false] : [false] {
      let opened = sluice_create_unnamed(descriptor, isDirect)
      if opened >= 0 {
        let created = CreatedFile(descriptor: Descriptor(owning: opened), isDirect: isDirect)
        return UnnamedFile(created, in: self, name: name, temporary: nil)
      }
      if isDirect, opened == -EINVAL { continue }
      guard opened == -EOPNOTSUPP || opened == -EISDIR || opened == -ENOENT else {
        throw SystemError("creating \(path(of: name))", returned: opened)
      }
      break
    }
    let temporary = ".\(name).sluice-\(getpid())-\(sluice_thread_id())"
    let created = try create(temporary, direct: direct)
    return UnnamedFile(created, in: self, name: name, temporary: temporary)
  }
}
