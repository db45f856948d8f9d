internal import CSluiceLinux
import Glibc
internal import SluiceSystem

/// What a directory would do for new images: tried with a file that is removed at once.
public struct OutputProbe: Sendable {
  /// Whether writes can go past the page cache (O_DIRECT).
  public let isDirect: Bool
  /// Whether files there are memory.
  public let isInMemory: Bool
  /// What is free there, in bytes; nil where the filesystem does not say.
  public let freeBytes: UInt64?

  /// Tries the directory, or the nearest one around it that is there already.
  ///
  /// - Throws: `ImagesError` with `cannotCreate` where new images cannot be made.
  public init(directory path: String) throws(ImagesError) {
    if let directory = try Self.open(path) {
      try UnfinishedImages.checkHoldsNoImages(try directory.names(), path: path)
      try self.init(trying: directory)
      return
    }
    var around = DirectoryHandle.split(path)
    while around.name != nil {
      if let parent = try Self.open(around.outer) {
        try self.init(trying: parent)
        return
      }
      around = DirectoryHandle.split(around.outer)
    }
    throw ImagesError(.cannotCreate, "making the images directory \(path)", errno: SystemErrno(code: ENOENT))
  }

  private init(trying directory: borrowing ImagesDirectory) throws(ImagesError) {
    // No other process takes this name for its own.
    let name = ".sluice-check-\(sluice_thread_id())"
    let file = try OutputFile(creating: name, in: directory.handle, direct: true)
    isDirect = file.isDirect
    isInMemory = file.isInMemory
    var space = statvfs()
    let known = unsafe fstatvfs(directory.handle.descriptor, &space) == 0
    freeBytes = known ? UInt64(space.f_bavail) * UInt64(space.f_frsize) : nil
    do throws(SystemError) { try directory.handle.remove(name) } catch {
      throw ImagesError(error, .cannotCreate)
    }
  }

  /// - Returns: nil when there is none.
  private static func open(_ path: String) throws(ImagesError) -> ImagesDirectory? {
    do throws(ImagesError) {
      return try ImagesDirectory(path: path)
    } catch {
      if error.errno?.name == "ENOENT" { return nil }
      throw ImagesError(.cannotCreate, error.message, errno: error.errno)
    }
  }
}
