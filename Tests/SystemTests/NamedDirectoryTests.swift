import Foundation
import SluiceSystem
import SluiceTestSupport
import Testing

/// Directories that a user names by their paths, with links on the way.
@Suite(.needsRoot) struct NamedDirectoryTests {
  private static let tenant: UInt32 = 70_000

  private func identity(_ path: String) throws(SystemError) -> FileIdentity {
    try DirectoryHandle(path: path).status().identity
  }

  /// As the kernel goes.
  @Test(arguments: [
    "real/deep", "real//deep/", "./real/./deep", "real/../real/deep", "way/deep", "whole/deep", "twice/deep",
    "way/../real/deep", "real/up/real/deep", "end",
  ])
  func `goes where our own links lead`(path: String) throws {
    let scratch = try Scratch()
    try scratch.makeDirectory("real/deep")
    try scratch.link("way", to: "real")
    try scratch.link("whole", to: scratch.path("real"))
    try scratch.link("twice", to: "./way/")
    try scratch.link("real/up", to: "..")
    try scratch.link("end", to: "way/deep")
    #expect(try identity(scratch.path(path)) == identity(scratch.path("real/deep")))
  }

  @Test func `goes where the kernel's own links lead, and from where we are`() throws {
    let scratch = try Scratch()
    let directory = try DirectoryHandle(path: scratch.path)
    let expected = try directory.status().identity
    #expect(try identity("/proc/self/fd/\(directory.descriptor)") == expected)
    #expect(try identity("/dev/fd/\(directory.descriptor)") == expected)
    #expect(try identity("/proc/self/root\(scratch.path)") == expected)
    #expect(try identity("/") == identity("//proc/.."))
    #expect(try identity(".") == identity(FileManager.default.currentDirectoryPath))
  }

  @Test(arguments: [
    // Whose the link is, whose the directory that it is in, that one's mode; and whether it is followed.
    (0, 0, 0o755, true), (0, 0, 0o1777, true), (0, tenant, 0o755, true),
    (tenant, 0, 0o755, true), (tenant, 0, 0o1777, false), (tenant, 0, 0o775, false),
    (tenant, tenant, 0o755, false), (tenant + 1, tenant, 0o755, false),
  ])
  func `follows no link that somebody else has put there`(
    link: UInt32, around: UInt32, mode: Int, isFollowed: Bool
  )
    throws
  {
    let scratch = try Scratch()
    try scratch.makeDirectory("real/deep")
    try scratch.makeDirectory("around")
    try scratch.link("around/way", to: "../real")
    try scratch.link("to", to: "around/way/deep")
    try scratch.give("around/way", to: link)
    try scratch.give("around", to: around)
    try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: scratch.path("around"))
    let expected = try identity(scratch.path("real/deep"))
    for path in ["around/way/deep", "around/way/deep/", "to"] {
      do throws(SystemError) {
        #expect(try identity(scratch.path(path)) == expected)
        #expect(isFollowed, "\(path)")
      } catch {
        #expect(!isFollowed, "\(path): \(error)")
        #expect(error.code == .refused)
        #expect(error.message.contains("the link way in \(scratch.path(path))"), "\(error)")
        #expect(error.message.contains("user \(link)"), "\(error)")
      }
    }
    // Nor is anything made behind it.
    do throws(SystemError) {
      _ = try DirectoryHandle.make(path: scratch.path("around/way/new"))
    } catch {
      #expect(error.code == .refused)
    }
    #expect(FileManager.default.fileExists(atPath: scratch.path("real/new")) == isFollowed)
  }

  @Test func `those around one that is made are made as well, and go with it if they are empty`() throws {
    let scratch = try Scratch()
    func isThere(_ path: String) -> Bool { FileManager.default.fileExists(atPath: scratch.path(path)) }
    do {
      let made = try DirectoryHandle.make(path: scratch.path("a/b/c/"))
      let isNew = made.isNew
      #expect(isNew)
      let rights = try FileManager.default.attributesOfItem(atPath: scratch.path("a/b"))[.posixPermissions]
      // Whoever the directory is given to has to get there.
      #expect(rights as? Int == 0o711)
      made.remove()
    }
    #expect(!isThere("a"))
    let kept = try DirectoryHandle.make(path: scratch.path("a/b/c"))
    try scratch.write("text", to: "a/b/file")
    kept.remove()
    #expect(isThere("a/b/file") && !isThere("a/b/c"))
    let again = try DirectoryHandle.make(path: scratch.path("a/b/c"))
    again.remove()
    #expect(isThere("a/b/file"), "what was there stays")
    // Where a link leads nowhere, nobody knows what was meant.
    try scratch.link("gone", to: "nowhere")
    #expect(throws: SystemError.self) { _ = try DirectoryHandle.make(path: scratch.path("gone/deep")) }
    #expect(!isThere("nowhere"))
  }

  @Test func `tells what is not there, and what is no directory`() throws {
    let scratch = try Scratch()
    try scratch.write("text", to: "file")
    try scratch.link("nowhere", to: "none")
    try scratch.link("circle", to: "circle")
    try scratch.link("to", to: "file")
    for (path, name) in [
      ("none", "ENOENT"), ("none/deep", "ENOENT"), ("nowhere", "ENOENT"), ("file", "ENOTDIR"),
      ("file/deep", "ENOTDIR"), ("to", "ENOTDIR"), ("circle", "ELOOP"),
      (String(repeating: "x", count: 300), "ENAMETOOLONG"),
    ] {
      let error = try #require(throws: SystemError.self) { try identity(scratch.path(path)) }
      #expect("\(error)".contains(name), "\(path): \(error)")
    }
    #expect("\(try #require(throws: SystemError.self) { try identity("") })".contains("ENOENT"))
  }
}
