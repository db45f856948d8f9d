internal import CSluiceLinux
internal import Glibc
internal import SluiceSystem

/// A file that a program has open beside the images; it is closed with its owner.
package struct OpenFile: ~Copyable, Sendable {
  private let file: Descriptor

  /// Takes over an open descriptor.
  package init(owning descriptor: Int32) {
    file = Descriptor(owning: descriptor)
  }

  /// For system calls of the owner's own.
  package var descriptor: Int32 { file.number }
}

/// A directory that the user has named, held open, for files that a program makes beside the images: a log, a pid file.
///
/// It is opened by its path, whose links are the user's own; those that somebody else may have put there are not followed.
/// That it is moved later, or another put in its place, changes nothing for who holds it.
package struct NamedDirectory: ~Copyable, Sendable {
  private let handle: DirectoryHandle

  /// Opens a directory by its path.
  ///
  /// - Throws: `SluiceError` with `cannotCreate`: nothing can be made there. It has an error number, unless a link was
  ///   refused.
  package init(path: String) throws(SluiceError) {
    do throws(SystemError) { handle = try DirectoryHandle(path: path) } catch {
      throw SluiceError(error, .cannotCreate)
    }
  }

  /// For system calls of the caller's own, while this is held.
  package var descriptor: Int32 { handle.descriptor }

  /// The directory around the one that a path names, and its name there; nil where the path does not end with a name.
  package static func split(_ path: String) -> (outer: String, name: String?) { DirectoryHandle.split(path) }

  /// Makes a directory, for its owner alone, where there is none.
  ///
  /// - Throws: `SluiceError` with `cannotCreate`.
  package static func make(path: String) throws(SluiceError) {
    do throws(SystemError) { _ = try DirectoryHandle.make(path: path) } catch {
      throw SluiceError(error, .cannotCreate)
    }
  }

  /// Opens a file to add to its end; makes it where there is none.
  ///
  /// In a directory that others may write it is a file of that name and nothing else, and ours. Where nobody else may, it
  /// is what the name leads to, such as /dev/stderr.
  ///
  /// - Returns: a descriptor, which the caller closes.
  /// - Throws: `SluiceError` with `cannotCreate` and an error number.
  package static func openLog(at path: String) throws(SluiceError) -> Int32 {
    do throws(SystemError) { return try DirectoryHandle.openLog(at: path).take() } catch {
      // What was refused was not the kernel's doing.
      let number = error.errno.map { ErrorNumber($0) } ?? ErrorNumber(code: EPERM)
      throw SluiceError(.cannotCreate, "\(error.message): \(number)", errno: number.kernel)
    }
  }

  /// Makes the directory for the final dump beside those of the rounds, with the number after the last one's, or takes the
  /// one that is there.
  ///
  /// Whoever reads the rounds for a restore gets at the dump, too. The directory stays ours: what becomes of a restored
  /// process, even outside of its own namespaces, is decided by whoever can change what is in it.
  ///
  /// - Parameters:
  ///   - lastRound: the number of the last round.
  ///   - directory: the one that those of the rounds are in.
  /// - Throws: `SluiceError` with `cannotCreate`.
  package static func makeForDump(after lastRound: Int, in directory: String) throws(SluiceError) {
    do throws(SystemError) {
      let rounds = try DirectoryHandle(path: directory)
      let made = try rounds.makeDirectory("\(lastRound + 1)")
      guard made.isNew, let round = try rounds.status(of: "\(lastRound)"), round.user != geteuid() else {
        return
      }
      // That the rounds could not be given to somebody was said of them.
      try? made.handle.letPass(group: round.group)
    } catch {
      throw SluiceError(error, .cannotCreate)
    }
  }
}
