internal import CSluiceLinux
internal import SluiceSystem

/// A file that a core goes to. It gets its name when it is whole: until then nobody finds it, and of one that is given up
/// nothing is left.
package struct CoreOutput: ~Copyable, Sendable {
  /// The path that it will have.
  package let path: String
  private var unnamed: UnnamedFile
  private let file: Descriptor
  private let replaces: Bool

  /// For system calls of the owner's own.
  package var descriptor: Int32 { file.number }

  /// Makes the file, for its owner alone, without its name.
  ///
  /// - Parameters:
  ///   - path: that it will have.
  ///   - replaces: whether it takes the place of one that is there.
  /// - Throws: `SluiceError` with `cannotCreate`.
  package init(at path: String, replacing replaces: Bool) throws(SluiceError) {
    self.path = path
    self.replaces = replaces
    do throws(SystemError) {
      unnamed = try UnnamedFile.create(at: path, replacing: replaces, direct: false)
    } catch {
      throw SluiceError(error, .cannotCreate)
    }
    guard let created = unnamed.takeFile() else { preconditionFailure("a file was made") }
    file = created.takeDescriptor()
  }

  /// Gives the file its name.
  ///
  /// - Parameter syncs: whether to wait until it is on the disk.
  /// - Throws: `SluiceError` with `io` or `cannotCreate`.
  package mutating func publish(syncs: Bool) throws(SluiceError) {
    for result in [syncs ? sluice_fsync(file.number) : 0, sluice_flush(file.number)] where result != 0 {
      throw SluiceError(SystemError("writing \(path)", returned: result), .io)
    }
    do throws(SystemError) {
      try unnamed.giveName(to: file.number, replacing: replaces)
    } catch {
      throw SluiceError(error, .cannotCreate)
    }
  }
}
