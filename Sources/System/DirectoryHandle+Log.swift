internal import CSluiceLinux
internal import Glibc

extension DirectoryHandle {
  /// Opens a file to add to its end, at a path that the user has named; makes it where there is none.
  ///
  /// In a directory that others may write it is a file of that name and nothing else, and ours. Where nobody else may, it is
  /// what the name leads to, such as /dev/stderr.
  ///
  /// - Throws: `SystemError`.
  public static func openLog(at path: String) throws(SystemError) -> Descriptor {
    let (outer, name) = split(path)
    guard let name else { throw SystemError("opening the log file \(path)", returned: -EISDIR) }
    let directory: DirectoryHandle
    do throws(SystemError) {
      directory = try DirectoryHandle(path: outer)
    } catch {
      guard let errno = error.errno else { throw error }
      throw SystemError("opening the log file \(path)", returned: -errno.code)
    }
    guard try Trust.admitsNobodyElse(to: directory.status()) else {
      let file = try directory.openForAppending(name, trust: Trust())
      return file.takeDescriptor()
    }
    let opened = unsafe sluice_open_log(directory.descriptor, name)
    guard opened >= 0 else { throw SystemError("opening the log file \(path)", returned: opened) }
    return Descriptor(owning: opened)
  }
}
