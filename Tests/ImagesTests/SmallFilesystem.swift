import Foundation
import Glibc

/// A filesystem in memory that is soon full. Mounting one needs root.
struct SmallFilesystem: ~Copyable {
  static var isPermitted: Bool { geteuid() == 0 }

  private let place: TemporaryDirectory
  var path: String { place.path }

  /// - Parameters:
  ///   - kibibytes: room for data.
  ///   - files: how many files and directories it takes.
  init(kibibytes: Int, files: Int) throws {
    let place = try TemporaryDirectory()
    // One for its root.
    try Command.run(
      "mount", "-t", "tmpfs", "-o", "size=\(kibibytes)k,nr_inodes=\(files + 1)", "tmpfs", place.path)
    self.place = place
  }

  deinit {
    // Lazily: a test that failed may still hold a file open.
    do {
      try Command.run("umount", "--lazy", place.path)
    } catch {
      print("leaving \(place.path) mounted: \(error)")
    }
  }
}
