internal import CSluiceLinux
internal import Glibc

/// A directory that is there by now, and whether it was made just now.
public struct MadeDirectory: ~Copyable, Sendable {
  /// The directory.
  public let handle: DirectoryHandle
  /// The directory that it was made in; nil where it was there before.
  private let outer: DirectoryHandle?
  private let name: String
  /// The directory around it, if that was made for it.
  private let around: MadeAround?

  /// Where the language has no struct that holds another of its kind.
  fileprivate final class MadeAround: Sendable {
    let directory: MadeDirectory

    init(_ directory: consuming MadeDirectory) { self.directory = directory }
  }

  init(_ handle: consuming DirectoryHandle, madeIn outer: consuming DirectoryHandle? = nil, name: String = "")
  {
    self.init(handle, madeIn: outer, name: name, around: nil)
  }

  private init(
    _ handle: consuming DirectoryHandle, madeIn outer: consuming DirectoryHandle?, name: String,
    around: MadeAround?
  ) {
    self.handle = handle
    self.outer = outer
    self.name = name
    self.around = around
  }

  /// The same, with the directory around it, which was made for it.
  fileprivate consuming func made(in around: MadeAround?) -> MadeDirectory {
    guard let around else { return self }
    return MadeDirectory(handle, madeIn: outer, name: name, around: around)
  }

  /// Whether it was made just now.
  public var isNew: Bool {
    switch outer {
    case .some: true
    case .none: false
    }
  }

  /// Removes the directory if it was made just now, is empty, and is still where it was made; and then those around it that
  /// were made for it.
  public func remove() {
    defer { around?.directory.remove() }
    // Optional chaining would consume it.
    switch outer {
    case .some(let outer):
      do throws(SystemError) {
        guard try outer.status(of: name)?.identity == handle.status().identity else { return }
      } catch {
        // Where the kernel does not tell, an empty directory is all that could go.
      }
      _ = unsafe sluice_unlink_at(outer.descriptor, name, true)
    case .none: break
    }
  }
}

extension DirectoryHandle {
  /// Opens a directory in this one.
  ///
  /// - Throws: `SystemError`: `missing` where there is none, `refused` for a link.
  public func openDirectory(_ name: String) throws(SystemError) -> DirectoryHandle {
    try openDirectory(name, called: path(of: name))
  }

  private func openDirectory(_ name: String, called path: String) throws(SystemError) -> DirectoryHandle {
    let opened = unsafe sluice_open_beneath(descriptor, name, SLUICE_BENEATH_DIRECTORY)
    guard opened >= 0 else { throw SystemError("opening the directory \(path)", returned: opened) }
    return DirectoryHandle(owning: Descriptor(owning: opened), path: path)
  }

  /// Makes a directory in this one for the user that this process runs as alone (mode 0700), or opens the one that is there.
  ///
  /// - Throws: `SystemError`: `refused` where somebody has put another in the place of the one that was made.
  public func makeDirectory(_ name: String) throws(SystemError) -> MadeDirectory {
    try makeDirectory(name, called: path(of: name))
  }

  private func makeDirectory(_ name: String, called path: String) throws(SystemError) -> MadeDirectory {
    let made = unsafe sluice_mkdir(descriptor, name, 0o700)
    guard made == 0 || made == -EEXIST else {
      throw SystemError("making the directory \(path)", returned: made)
    }
    do throws(SystemError) {
      let handle = try openDirectory(name, called: path)
      guard made == 0 else { return MadeDirectory(handle) }
      try handle.checkIsNew()
      return MadeDirectory(handle, madeIn: try copy(), name: name)
    } catch {
      // Where another has taken its place this removes nothing that anybody misses: an empty directory.
      if made == 0, error.code != .refused { _ = unsafe sluice_unlink_at(descriptor, name, true) }
      throw error
    }
  }

  /// Makes sure that this is a directory that was made just now by us: whoever may write the one around it may have put
  /// another in its place since.
  private func checkIsNew() throws(SystemError) {
    let status = try status()
    var isEmpty = true
    try forEachName { _ in isEmpty = false }
    // Of whom a server on the network takes root for (root_squash), nobody else makes one either.
    let isOurs = status.user == sluice_effective_user() || status.user == Self.nobody
    guard isEmpty, isOurs, status.permissions & 0o077 == 0 else {
      throw SystemError(
        refusing:
          "the directory \(path) was replaced just after it was made: somebody else writes the one around it, choose another"
      )
    }
  }

  /// The user that the kernel and servers put in the place of one whom they do not know: /proc/sys/kernel/overflowuid.
  private static let nobody: UInt32 = 65534

  /// Makes a directory at a path that the user has named, and those around it that are missing, or opens the one that it
  /// leads to.
  ///
  /// Those around it can be passed through by everybody, and looked at by who made them alone: who may read what is in them
  /// is said by the directory itself, which may be given to somebody else.
  ///
  /// - Throws: `SystemError`.
  public static func make(path: String) throws(SystemError) -> MadeDirectory {
    let (outer, name) = split(path)
    guard let name else { return MadeDirectory(try DirectoryHandle(path: path)) }
    let around: DirectoryHandle
    var madeAround: MadeDirectory.MadeAround?
    do throws(SystemError) {
      around = try DirectoryHandle(path: outer)
    } catch {
      guard let errno = error.errno else { throw error }
      guard error.code == .missing, split(outer).name != nil else {
        throw SystemError("making the directory \(path)", returned: -errno.code)
      }
      let made = try makeAround(outer)
      around = try made.directory.handle.copy()
      madeAround = made
    }
    do throws(SystemError) {
      // What is there already may be a link of the user's own: the path is to be followed then.
      guard try around.status(of: name) == nil else { return MadeDirectory(try DirectoryHandle(path: path)) }
      return try around.makeDirectory(name, called: path).made(in: madeAround)
    } catch {
      madeAround?.directory.remove()
      throw error
    }
  }

  private static func makeAround(_ path: String) throws(SystemError) -> MadeDirectory.MadeAround {
    let made = MadeDirectory.MadeAround(try make(path: path))
    guard made.directory.isNew else { return made }
    let result = sluice_set_mode(made.directory.handle.descriptor, 0o711)
    guard result == 0 else {
      made.directory.remove()
      throw SystemError("letting others pass through \(path)", returned: result)
    }
    return made
  }

  /// The directory around the one that a path names, and its name there; nil where the path does not end with a name.
  public static func split(_ path: String) -> (outer: String, name: String?) {
    let trimmed = path.reversed().drop { $0 == "/" }
    let name = String(trimmed.prefix { $0 != "/" }.reversed())
    guard !name.isEmpty, name != ".", name != ".." else { return (path, nil) }
    let outer = String(trimmed.dropFirst(name.count).reversed())
    return (outer.isEmpty ? "." : outer, name)
  }

  /// Gives the directory to somebody else. What is in it stays whose it is.
  ///
  /// - Throws: `SystemError`.
  public func give(user: UInt32, group: UInt32) throws(SystemError) {
    let result = sluice_give(descriptor, user, group)
    guard result == 0 else { throw SystemError("giving \(path) to user \(user)", returned: result) }
  }

  /// Lets the members of a group pass through the directory, to what they know the name of; it stays ours.
  ///
  /// - Throws: `SystemError`.
  public func letPass(group: UInt32) throws(SystemError) {
    var result = sluice_give(descriptor, UInt32.max, group)
    if result == 0 { result = sluice_set_mode(descriptor, 0o710) }
    guard result == 0 else { throw SystemError("letting group \(group) into \(path)", returned: result) }
  }
}

// MARK: Names

extension DirectoryHandle {
  /// Gives a file another name in the directory, in place of what has that name.
  ///
  /// - Throws: `SystemError`.
  public func rename(_ name: String, to other: String) throws(SystemError) {
    let result = unsafe sluice_rename_at(descriptor, name, other)
    guard result == 0 else { throw SystemError("renaming \(path(of: name)) to \(other)", returned: result) }
  }

  /// Removes a file, or of a link the link.
  ///
  /// - Throws: `SystemError`.
  public func remove(_ name: String) throws(SystemError) {
    let result = unsafe sluice_unlink_at(descriptor, name, false)
    guard result == 0 else { throw SystemError("removing \(path(of: name))", returned: result) }
  }

  /// Makes a symbolic link.
  ///
  /// - Throws: `SystemError`.
  public func link(_ name: String, to text: String) throws(SystemError) {
    let result = unsafe sluice_symlink_at(text, descriptor, name)
    guard result == 0 else { throw SystemError("making the link \(path(of: name))", returned: result) }
  }

  /// The text of a symbolic link.
  ///
  /// - Returns: nil when there is none by that name.
  /// - Throws: `SystemError`: `refused` for what is no link.
  public func link(_ name: String) throws(SystemError) -> String? {
    do throws(SystemError) {
      return try SymbolicLink.text(of: name, in: descriptor, called: path(of: name))
    } catch {
      guard error.code == .missing else { throw error }
      return nil
    }
  }

  /// Waits until the names are on the disk.
  ///
  /// - Throws: `SystemError`.
  public func sync() throws(SystemError) {
    let result = sluice_fsync(descriptor)
    guard result == 0 else { throw SystemError("writing the directory \(path)", returned: result) }
  }
}
