internal import SluiceImages
internal import SluiceSystem

extension PreDumpReport {
  /// The figures of an images directory are a few dozen bytes.
  private static let longestStatistics = 64 << 10
  /// They are no secret: engines read them.
  private static let permissions: UInt32 = 0o644

  /// Copies stats-dump from the images into another directory, in place of the one that is there. May wait for disks, on a
  /// thread of its own.
  ///
  /// - Throws: `SluiceError` with `io`, or `cancelled`; the images are valid all the same.
  package func copyStatistics(to directory: String) async throws(SluiceError) {
    // They belong to images that are complete, whatever is cancelled since.
    try await BlockingWork.run("copying the statistics", isBegunAnyway: true) { () throws(SluiceError) in
      try copyStatisticsHere(to: directory)
    }
  }

  private func copyStatisticsHere(to directory: String) throws(SluiceError) {
    do throws(SystemError) {
      let images = try DirectoryHandle(path: imagesDirectory)
      if let place, try images.status().identity != place.identity {
        throw SystemError(refusing: "\(imagesDirectory) was replaced by another directory since")
      }
      let name = DumpStatistics.fileName
      let bytes = try images.read(name, atMost: Self.longestStatistics)
      try DirectoryHandle(path: directory).replace(name, by: bytes, permissions: Self.permissions)
    } catch {
      throw SluiceError(
        .io, "copying \(imagesDirectory)/\(DumpStatistics.fileName) to \(directory): \(error)",
        errno: error.errno)
    }
  }
}
