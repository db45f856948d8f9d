import Foundation
import Glibc

/// A filesystem in memory that is soon full. Mounting one needs root.
public struct SmallFilesystem: ~Copyable {
  /// Where it is mounted.
  public let path: String

  /// - Parameters:
  ///   - kibibytes: room for data.
  ///   - files: how many files and directories it takes.
  /// - Throws: `TestFailure` when it cannot be mounted.
  public init(kibibytes: Int, files: Int) throws {
    let place = FileManager.default.temporaryDirectory.appending(path: "sluice-small-\(UUID())").path
    try FileManager.default.createDirectory(atPath: place, withIntermediateDirectories: false)
    // One inode is for its root.
    let options = "size=\(kibibytes)k,nr_inodes=\(files + 1)"
    guard unsafe mount("tmpfs", place, "tmpfs", 0, options) == 0 else {
      let failure = TestFailure.systemCall("mounting a small tmpfs at \(place)")
      try? FileManager.default.removeItem(atPath: place)
      throw failure
    }
    path = place
  }

  /// Lets nothing be changed in it any more.
  ///
  /// - Throws: `TestFailure` when the kernel refuses that.
  public func makeReadOnly() throws {
    guard unsafe mount(nil, path, nil, UInt(MS_REMOUNT | MS_RDONLY), nil) == 0 else {
      throw TestFailure.systemCall("making \(path) read-only")
    }
  }

  deinit {
    // Lazily: a test that failed may still hold a file open.
    if unsafe umount2(path, Int32(MNT_DETACH)) != 0 {
      print("leaving \(path) mounted: \(TestFailure.systemCall("unmounting it"))")
    }
    try? FileManager.default.removeItem(atPath: path)
  }
}
