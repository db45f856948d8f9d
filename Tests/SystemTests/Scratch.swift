import Foundation
import SluiceTestSupport

/// A directory of a test's own, removed with all that is in it when the test lets go of it.
struct Scratch: ~Copyable {
  let path: String

  init() throws {
    path = FileManager.default.temporaryDirectory.appending(path: "sluice-system-\(UUID())").path
    try makeDirectory("")
  }

  deinit {
    try? FileManager.default.removeItem(atPath: path)
  }

  func path(_ name: String) -> String { name.isEmpty ? path : "\(path)/\(name)" }

  func makeDirectory(_ name: String, mode: Int = 0o755) throws {
    try FileManager.default.createDirectory(
      atPath: path(name), withIntermediateDirectories: true, attributes: [.posixPermissions: mode])
  }

  func write(_ text: String, to name: String) throws {
    try Data(text.utf8).write(to: URL(fileURLWithPath: path(name)))
  }

  func text(of name: String) throws -> String {
    try String(contentsOfFile: path(name), encoding: .utf8)
  }

  func link(_ name: String, to text: String) throws {
    try FileManager.default.createSymbolicLink(atPath: path(name), withDestinationPath: text)
  }

  func makeFIFO(_ name: String) throws {
    guard unsafe mkfifo(path(name), 0o600) == 0 else { throw TestFailure("mkfifo fails with errno \(errno)") }
  }

  /// A device that reads as zeros without end.
  func makeDevice(_ name: String) throws {
    guard unsafe mknod(path(name), S_IFCHR | 0o666, dev_t(1 << 8 | 5)) == 0 else {
      throw TestFailure("mknod fails with errno \(errno)")
    }
  }

  func makeSocket(_ name: String) throws {
    guard unsafe mknod(path(name), S_IFSOCK | 0o600, 0) == 0 else {
      throw TestFailure("mknod fails with errno \(errno)")
    }
  }

  func makeHardLink(_ name: String, to other: String) throws {
    try FileManager.default.linkItem(atPath: path(other), toPath: path(name))
  }

  /// Gives a file, of a link the link itself, to another user.
  func give(_ name: String, to user: UInt32) throws {
    guard unsafe lchown(path(name), user, user) == 0 else {
      throw TestFailure("lchown fails with errno \(errno)")
    }
  }
}
