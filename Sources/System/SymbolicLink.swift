internal import CSluiceLinux
internal import Glibc

/// Reads symbolic links, also those of /proc, whose text is a path or a name that the kernel makes up.
package enum SymbolicLink {
  /// The text of a link.
  ///
  /// - Parameters:
  ///   - name: the link; nothing for the one that `directory` itself is an open descriptor of (O_PATH).
  ///   - directory: where it is; by default the working directory.
  ///   - path: how messages call the link.
  /// - Throws: `SystemError`: `missing` where there is none, `refused` for what is no link.
  package static func text(
    of name: String, in directory: Int32 = sluice_current_directory(), called path: String
  ) throws(SystemError) -> String {
    var text = [UInt8](repeating: 0, count: Int(PATH_MAX))
    let count = unsafe text.withUnsafeMutableBytes {
      unsafe sluice_read_link_at(directory, name, $0.baseAddress, $0.count)
    }
    guard count != -Int(EINVAL) else { throw SystemError(refusing: "\(path) is no symbolic link") }
    guard count >= 0 else { throw SystemError("reading the link \(path)", returned: count) }
    // What the text has beyond that is not told.
    guard count < text.count else { throw SystemError("reading the link \(path)", returned: -ENAMETOOLONG) }
    return String(decoding: text[..<count], as: UTF8.self)
  }
}
