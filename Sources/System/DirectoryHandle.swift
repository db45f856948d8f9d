internal import CSluiceLinux
internal import Glibc

/// A directory that is held open, through which everything in it is opened.
///
/// Somebody else may write it: so no link in it is followed, nothing but a regular file is opened in place of a file, and
/// that it was moved, or another put in its place, changes nothing for who holds it.
public struct DirectoryHandle: ~Copyable, Sendable {
  /// How the directory is called in messages.
  public let path: String
  private let owned: Descriptor

  /// For system calls of the caller's own.
  public var descriptor: Int32 { owned.number }

  /// Opens a directory by its path: for one that the user has named, whose word the links on the way are.
  ///
  /// But not those that somebody else may have put there.
  ///
  /// - Throws: `SystemError`: `refused` for such a link.
  public init(path: String) throws(SystemError) {
    var link = sluice_refused_link()
    let opened = unsafe sluice_open_named(path, &link)
    guard opened >= 0 else {
      throw Self.refusal(of: link, in: path) ?? SystemError("opening the directory \(path)", returned: opened)
    }
    self.init(owning: Descriptor(owning: opened), path: path)
  }

  /// Nil where no link was refused.
  private static func refusal(of link: sluice_refused_link, in path: String) -> SystemError? {
    let name = unsafe withUnsafeBytes(of: link.name) { bytes in
      unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }
    guard !name.isEmpty else { return nil }
    return SystemError(
      refusing:
        "the link \(name) in \(path) is not followed: it belongs to user \(link.user), in a directory that others may write; name the directory that it leads to, if that is the one you mean"
    )
  }

  init(owning descriptor: consuming Descriptor, path: String) {
    self.path = path
    owned = descriptor
  }

  /// Another handle of the same directory.
  ///
  /// - Throws: `SystemError`, as when there are too many descriptors.
  public func copy() throws(SystemError) -> DirectoryHandle {
    let copied = sluice_duplicate(descriptor)
    guard copied >= 0 else { throw SystemError("opening the directory \(path) again", returned: copied) }
    return DirectoryHandle(owning: Descriptor(owning: copied), path: path)
  }

  /// Which directory it is, and whose.
  ///
  /// - Throws: `SystemError`.
  public func status() throws(SystemError) -> FileStatus {
    try owned.status(path: path)
  }

  /// The path of something in the directory, for messages.
  public func path(of name: String) -> String { "\(path)/\(name)" }
}

// MARK: Looking

extension DirectoryHandle {
  /// Something in a directory that was found and not opened.
  private struct Found: ~Copyable {
    let descriptor: Descriptor
    let status: FileStatus
  }

  private func look(at name: String) throws(SystemError) -> Found {
    let path = path(of: name)
    let opened = unsafe sluice_open_beneath(descriptor, name, SLUICE_BENEATH_LOOK)
    guard opened >= 0 else { throw SystemError("opening \(path)", returned: opened) }
    let descriptor = Descriptor(owning: opened)
    let status = try descriptor.status(path: path)
    return Found(descriptor: descriptor, status: status)
  }

  /// What is there by that name, of a link itself.
  ///
  /// - Returns: nil when there is nothing.
  /// - Throws: `SystemError`.
  public func status(of name: String) throws(SystemError) -> FileStatus? {
    do throws(SystemError) {
      return try look(at: name).status
    } catch {
      guard error.code == .missing else { throw error }
      return nil
    }
  }

  /// The names of everything in the directory, one at a time, in no order.
  ///
  /// - Throws: `SystemError`.
  public func forEachName(_ visit: (String) -> Void) throws(SystemError) {
    let result = withoutActuallyEscaping(visit) { visit in
      var visit = visit
      return unsafe withUnsafeMutablePointer(to: &visit) { pointer in
        unsafe sluice_list_directory(descriptor, pointer) { context, name in
          guard let context = unsafe context, let name = unsafe name else { return }
          unsafe context.assumingMemoryBound(to: ((String) -> Void).self).pointee(String(cString: name))
        }
      }
    }
    guard result == 0 else { throw SystemError("listing the directory \(path)", returned: result) }
  }
}

// MARK: Files

extension DirectoryHandle {
  /// Opens a regular file, and nothing else, at once.
  ///
  /// - Throws: `SystemError`: `missing` where there is none, `refused` where something else is in its place.
  public func openForReading(_ name: String) throws(SystemError) -> OpenFile {
    try open(name, SLUICE_ACCESS_READ, trust: nil)
  }

  /// Opens a regular file to change what is in it.
  ///
  /// - Parameter trust: whose files may be written.
  /// - Throws: `SystemError`: `refused` for a file of somebody else, or that has another name besides.
  public func openForWriting(_ name: String, trust: Trust) throws(SystemError) -> OpenFile {
    try open(name, SLUICE_ACCESS_READ_WRITE, trust: trust)
  }

  /// Makes sure that a file is one that may be written, or replaced by another.
  ///
  /// - Parameter trust: whose files may be written.
  /// - Throws: `SystemError`, as `openForWriting` does.
  public func checkWritable(_ name: String, trust: Trust) throws(SystemError) {
    try check(look(at: name), name, trust: trust)
  }

  /// Opens a regular file to add to its end; makes it where there is none.
  ///
  /// - Parameter trust: whose files may be written.
  /// - Throws: `SystemError`.
  public func openForAppending(_ name: String, trust: Trust) throws(SystemError) -> OpenFile {
    // Somebody may remove it between the two.
    for _ in 0..<8 {
      do throws(SystemError) {
        return try open(name, SLUICE_ACCESS_APPEND, trust: trust)
      } catch {
        guard error.code == .missing else { throw error }
      }
      let made = unsafe sluice_open_beneath(descriptor, name, SLUICE_BENEATH_CREATE)
      if made >= 0 {
        _ = sluice_close(made)
      } else if made != -EEXIST {
        throw SystemError("creating \(path(of: name))", returned: made)
      }
    }
    throw SystemError(refusing: "\(path(of: name)) is removed again and again by somebody else")
  }

  private func open(
    _ name: String, _ access: sluice_access, trust: Trust?
  ) throws(SystemError) -> OpenFile {
    let path = path(of: name)
    let found = try look(at: name)
    try check(found, name, trust: trust)
    let opened = sluice_reopen(found.descriptor.number, access)
    guard opened >= 0 else { throw SystemError("opening \(path)", returned: opened) }
    return OpenFile(descriptor: Descriptor(owning: opened), status: found.status)
  }

  private func check(_ found: borrowing Found, _ name: String, trust: Trust?) throws(SystemError) {
    let path = path(of: name)
    // As the kernel has it who is asked to write to a directory.
    if found.status.kind == .directory { throw SystemError("opening \(path)", returned: -EISDIR) }
    guard found.status.kind == .file else {
      throw SystemError(refusing: "\(path) is \(found.status.kind) and no regular file: it is not opened")
    }
    guard let trust, let objection = trust.objection(toWriting: found.status, of: try status().user) else {
      return
    }
    throw SystemError(refusing: "\(path) is not written to: \(objection)")
  }

  /// Makes a file that must not be there yet, for reading and writing by its owner alone.
  ///
  /// - Parameter direct: whether I/O is to go past the page cache, where the filesystem can.
  /// - Returns: the file, and whether it does.
  /// - Throws: `SystemError`.
  public func create(_ name: String, direct: Bool) throws(SystemError) -> CreatedFile {
    let how = direct ? SLUICE_BENEATH_CREATE_DIRECT : SLUICE_BENEATH_CREATE
    var opened = unsafe sluice_open_beneath(descriptor, name, how)
    let isDirect = direct && opened >= 0
    if direct, opened == -EINVAL {
      // The filesystem has no O_DIRECT, which it says only after it has made the file.
      _ = unsafe sluice_unlink_at(descriptor, name, false)
      opened = unsafe sluice_open_beneath(descriptor, name, SLUICE_BENEATH_CREATE)
    }
    guard opened >= 0 else { throw SystemError("creating \(path(of: name))", returned: opened) }
    return CreatedFile(descriptor: Descriptor(owning: opened), isDirect: isDirect)
  }
}

/// A file that was opened, and what it was then.
public struct OpenFile: ~Copyable, Sendable {
  /// The file.
  public let descriptor: Descriptor
  /// What it was when it was looked at.
  public let status: FileStatus

  /// The file alone.
  consuming func takeDescriptor() -> Descriptor { descriptor }
}

/// A file that was made.
public struct CreatedFile: ~Copyable, Sendable {
  /// The file.
  public let descriptor: Descriptor
  /// Whether I/O goes past the page cache (O_DIRECT).
  public let isDirect: Bool

  /// The file alone.
  public consuming func takeDescriptor() -> Descriptor { descriptor }
}
