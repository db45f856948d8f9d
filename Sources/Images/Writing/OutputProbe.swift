internal import CSluiceLinux
import Glibc
internal import SluiceSystem

/// What a directory would do for new images: tried with a file that is removed at once.
public struct OutputProbe: Sendable {
  /// Whether writes can go past the page cache (O_DIRECT).
  public let isDirect: Bool
  /// Whether files there are memory.
  public let isInMemory: Bool

  /// Tries the directory, or the one that it would be made in where it is not there yet.
  ///
  /// - Throws: `ImagesError` with `cannotCreate` where new images cannot be made.
  public init(directory path: String) throws(ImagesError) {
    guard let directory = try Self.open(path) else {
      let (outer, name) = DirectoryHandle.split(path)
      guard name != nil, let parent = try Self.open(outer) else {
        throw ImagesError(
          .cannotCreate, "making the images directory \(path)", errno: SystemErrno(code: ENOENT))
      }
      try self.init(trying: parent)
      return
    }
    try UnfinishedImages.checkHoldsNoImages(try directory.names(), path: path)
    try self.init(trying: directory)
  }

  private init(trying directory: borrowing ImagesDirectory) throws(ImagesError) {
    // No other process takes this name for its own.
    let name = ".sluice-check-\(sluice_thread_id())"
    let file = try OutputFile(creating: name, in: directory.handle, direct: true)
    isDirect = file.isDirect
    isInMemory = file.isInMemory
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
