import ArgumentParser
import Glibc
import Sluice

/// A file that says which process is at work, for whoever wants to signal it. It is there from the start to the end
/// of a run.
///
/// It is locked all the while: that tells a file which a killed run has left from that of one at work.
final class PidFile: Sendable {
  private let path: String
  /// The directory that the file is in, whatever becomes of its path, and the name there.
  private let directory: NamedDirectory
  private let name: String
  private let file: OpenFile

  /// Makes the file, or takes over one that a killed run has left.
  ///
  /// - Throws: `ExitCode`, after what went wrong has been said.
  init(creatingAt path: String) throws(ExitCode) {
    self.path = path
    let (outer, name) = NamedDirectory.split(path)
    guard let name else { throw CommandFailure.cannotCreate("creating the pid file \(path)", errno: EISDIR) }
    self.name = name
    do throws(SluiceError) { directory = try NamedDirectory(path: outer) } catch {
      let doing = "creating the pid file \(path)"
      guard let errno = error.errno else { throw CommandFailure.cannotCreate("\(doing): \(error)") }
      throw CommandFailure.cannotCreate(doing, errno: errno.code)
    }
    file = try Self.open(name, in: directory, path)
    try Self.checkContent(of: file.descriptor, path)
    do throws(ExitCode) { try Self.writePid(to: file.descriptor, path) } catch {
      // Half a number could be somebody else's.
      _ = unsafe unlinkat(directory.descriptor, name, 0)
      throw error
    }
  }

  /// Removes the file, unless somebody has put another in its place.
  func remove() {
    guard Self.isOpen(file.descriptor, at: name, in: directory) else { return }
    if unsafe unlinkat(directory.descriptor, name, 0) != 0 {
      Terminal.message("sluice: removing the pid file \(path): \(CommandFailure.text(errno))")
    }
  }

  /// Opens the file and locks it.
  private static func open(
    _ name: String, in directory: borrowing NamedDirectory, _ path: String
  ) throws(ExitCode) -> OpenFile {
    while true {
      let flags = O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK
      let opened = unsafe openat(directory.descriptor, name, flags, 0o644)
      guard opened >= 0 else {
        throw CommandFailure.cannotCreate("creating the pid file \(path)", errno: errno)
      }
      let file = OpenFile(owning: opened)
      guard flock(file.descriptor, LOCK_EX | LOCK_NB) == 0 else {
        let error = errno
        guard error == EWOULDBLOCK else {
          throw CommandFailure.cannotCreate("locking the pid file \(path)", errno: error)
        }
        throw CommandFailure.cannotCreate(
          "the pid file \(path) belongs to another run, which is still running. Choose another file")
      }
      if isOpen(file.descriptor, at: name, in: directory) { return file }
      // The run that had it has ended, and removed it, since we opened it.
    }
  }

  /// Whether this is the file that has the name.
  private static func isOpen(
    _ file: Int32, at name: String, in directory: borrowing NamedDirectory
  ) -> Bool {
    var (opened, named) = (stat(), stat())
    guard unsafe fstat(file, &opened) == 0,
      unsafe fstatat(directory.descriptor, name, &named, AT_SYMLINK_NOFOLLOW) == 0
    else { return false }
    return opened.st_dev == named.st_dev && opened.st_ino == named.st_ino
  }

  /// A file with something else in it is not ours to write to, nor to remove.
  private static func checkContent(of file: Int32, _ path: String) throws(ExitCode) {
    var bytes = [UInt8](repeating: 0, count: 32)
    let count = unsafe pread(file, &bytes, bytes.count, 0)
    guard count >= 0 else { throw CommandFailure.cannotCreate("reading the pid file \(path)", errno: errno) }
    let isPid = bytes[..<count].allSatisfy {
      (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) || $0 == 0x0a
    }
    var status = stat()
    // Nor is one of somebody else, or that has another name besides (a hard link).
    guard isPid, count < bytes.count, unsafe fstat(file, &status) == 0, status.st_mode & S_IFMT == S_IFREG,
      status.st_nlink == 1, status.st_uid == geteuid()
    else {
      throw CommandFailure.cannotCreate(
        "\(path) exists and is not a pid file; not overwritten. Choose another file")
    }
    // That of a run which was killed names nobody any more; that of a process which lives, and is none of ours, is
    // somebody else's.
    let pid = String(decoding: bytes[..<count], as: UTF8.self).split(separator: "\n").first.flatMap {
      Int32($0)
    }
    guard let pid, pid > 0, kill(pid, 0) == 0 || errno == EPERM else { return }
    throw CommandFailure.cannotCreate(
      "the pid file \(path) belongs to process \(pid), which is running; not overwritten. Choose another file, or remove it"
    )
  }

  private static func writePid(to file: Int32, _ path: String) throws(ExitCode) {
    let text = Array("\(getpid())\n".utf8)
    guard ftruncate(file, 0) == 0, unsafe pwrite(file, text, text.count, 0) == text.count else {
      let error = errno
      throw CommandFailure.cannotWrite("writing the pid file \(path)", errno: error)
    }
  }
}
