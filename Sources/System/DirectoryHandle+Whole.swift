internal import CSluiceLinux
internal import Glibc

/// Small files, read and written as a whole.
extension DirectoryHandle {
  /// The bytes of a regular file.
  ///
  /// - Parameter limit: a longer file is none of those that are meant.
  /// - Throws: `SystemError`.
  public func read(_ name: String, atMost limit: Int) throws(SystemError) -> [UInt8] {
    let file = try openForReading(name)
    var bytes = [UInt8](repeating: 0, count: limit + 1)
    var done = 0
    while done < bytes.count {
      let count = unsafe bytes.withUnsafeMutableBytes {
        unsafe sluice_read(file.descriptor.number, $0.baseAddress! + done, $0.count - done)
      }
      guard count >= 0 else { throw SystemError("reading \(path(of: name))", returned: count) }
      if count == 0 { break }
      done += count
    }
    guard done <= limit else { throw SystemError(refusing: "\(path(of: name)) has more than \(limit) bytes") }
    return [UInt8](bytes[..<done])
  }

  /// Puts a file with these bytes in the place of whatever has that name: of a link, the link.
  ///
  /// - Throws: `SystemError`; what was there stays then.
  public func replace(_ name: String, by bytes: [UInt8], permissions: UInt32) throws(SystemError) {
    // No other thread takes this name for its own; a run that was killed may have had it.
    let partial = ".\(name).\(sluice_thread_id())"
    _ = unsafe sluice_unlink_at(descriptor, partial, false)
    let file = try create(partial, direct: false)
    do throws(SystemError) {
      try write(bytes, to: file, called: partial)
      let result = sluice_set_mode(file.descriptor.number, permissions)
      guard result == 0 else { throw SystemError("making \(path(of: partial)) readable", returned: result) }
      let flushed = sluice_flush(file.descriptor.number)
      guard flushed == 0 else { throw SystemError("writing \(path(of: partial))", returned: flushed) }
      try rename(partial, to: name)
    } catch {
      _ = unsafe sluice_unlink_at(descriptor, partial, false)
      throw error
    }
  }

  private func write(
    _ bytes: [UInt8], to file: borrowing CreatedFile, called name: String
  ) throws(SystemError) {
    var done = 0
    while done < bytes.count {
      let count = unsafe bytes.withUnsafeBytes {
        unsafe sluice_write(file.descriptor.number, $0.baseAddress! + done, $0.count - done)
      }
      guard count > 0 else {
        throw SystemError("writing \(path(of: name))", returned: count == 0 ? -Int(ENOSPC) : count)
      }
      done += count
    }
  }
}
