import Foundation
import Testing

@testable import SluiceImages

@Suite struct UnfinishedImagesTests {
  // MARK: Taking a directory

  @Test func `makes a directory that is not there, for its owner alone`() throws {
    let directory = try TemporaryDirectory()
    let path = "\(directory.path)/new"
    do {
      var images = try UnfinishedImages.create(at: path)
      _ = try images.createPages()
      _ = try images.createPagemap(pid: 1)
      #expect(try FileStatus(path: path).permissions == 0o700)
      #expect(try FileStatus(path: "\(path)/pages-1.img.partial").permissions == 0o600)
      try images.publish()
    }
    #expect(try FileStatus(path: path).permissions == 0o700)
    let names = try FileManager.default.contentsOfDirectory(atPath: path).sorted()
    #expect(names == ["inventory.img", "pagemap-1.img", "pages-1.img", "stats-dump"])
    for name in names { #expect(try FileStatus(path: "\(path)/\(name)").permissions == 0o600) }
  }

  @Test(arguments: [
    "inventory.img", "pages-1.img", "pagemap-1.img", "core-1.img", "pstree.img", "tmpfs-dev-3.tar.gz.img",
  ])
  func `refuses a directory that holds images, and leaves it as it is`(name: String) throws {
    let directory = try TemporaryDirectory()
    try directory.write([1], to: name)
    try directory.write([2], to: "inventory.img.partial")
    try directory.write([3], to: "pages-9.img.partial")
    let error = try #require(throws: ImagesError.self) { _ = try UnfinishedImages.create(at: directory.path) }
    #expect(error.code == .cannotCreate)
    #expect(error.message.contains(name))
    #expect(error.message.contains(directory.path))
    #expect(try directory.names() == [name, "inventory.img.partial", "pages-9.img.partial"].sorted())
    #expect(try directory.bytes(of: name) == [1])
  }

  @Test(arguments: [
    (["inventory.img", "pages-1.img"], "already holds images (inventory.img)"),
    (["pages-1.img", "inventory.img.partial"], "(pages-1.img) but no inventory.img: a run was interrupted"),
    (["pages-1.img", "inventory.img.aside"], "a further round was to be built on, which was interrupted"),
  ])
  func `says what a directory holds that it refuses`(names: [String], message: String) throws {
    let directory = try TemporaryDirectory()
    for name in names { try directory.write([1], to: name) }
    let error = try #require(throws: ImagesError.self) { _ = try UnfinishedImages.create(at: directory.path) }
    #expect(error.message.contains(message), "\(error)")
  }

  @Test func `takes a directory with other files in it and does not touch them`() throws {
    let directory = try TemporaryDirectory()
    // Somebody's download is not ours, whatever it is called.
    let others = ["dump.log", "disk.img.partial", "pages-of-a-book.partial", "stats-dump.partial.old"]
    for name in others { try directory.write([1], to: name) }
    try Images.publish([], at: directory.path)
    let ours = ["inventory.img", "pagemap-1.img", "pages-1.img", "stats-dump"]
    #expect(try directory.names() == (others + ours).sorted())
  }

  @Test func `removes what a run that died has left`() throws {
    let directory = try TemporaryDirectory()
    let left = [
      "pages-1.img.partial", "pagemap-77.img.partial", "stats-dump.partial", "inventory.img.partial",
    ]
    for name in left { try directory.write([9, 9, 9], to: name) }
    do {
      let images = try UnfinishedImages.create(at: directory.path)
      #expect(try directory.names() == [])
      _ = consume images
    }
    for name in left { try directory.write([9, 9, 9], to: name) }
    try Images.publish([], at: directory.path)
    #expect(try directory.names() == ["inventory.img", "pagemap-1.img", "pages-1.img", "stats-dump"])
    #expect(try directory.bytes(of: "pages-1.img") == [])
  }

  @Test(arguments: ["file", "file/below", "file/below/it"])
  func `a place that cannot be had is an error that names it`(place: String) throws {
    let directory = try TemporaryDirectory()
    try directory.write([], to: "file")
    let path = "\(directory.path)/\(place)"
    let error = try #require(throws: ImagesError.self) { _ = try UnfinishedImages.create(at: path) }
    #expect(error.code == .cannotCreate)
    #expect(error.message.contains(path))
    #expect(try directory.names() == ["file"])
  }

  @Test func `a directory in which no file can be made is an error`() throws {
    var images = try UnfinishedImages.create(at: "/proc/self")
    let error = try #require(throws: ImagesError.self) { try images.createPages() }
    #expect(error.code == .cannotCreate)
    #expect(error.message.contains("/proc/self/pages-1.img"))
  }

  // MARK: One writer

  @Test func `locks out a second writer in the same process until the first is gone`() throws {
    let directory = try TemporaryDirectory()
    let path = "\(directory.path)/images"
    do {
      var images = try UnfinishedImages.create(at: path)
      _ = try images.createPages()
      let error = try #require(throws: ImagesError.self) { _ = try UnfinishedImages.create(at: path) }
      #expect(error.code == .cannotCreate)
      #expect(error.message.contains("another run"))
      // The refused one has not taken the first one's file for a leftover, nor its directory.
      #expect(try FileManager.default.contentsOfDirectory(atPath: path) == ["pages-1.img.partial"])
    }
    #expect(try directory.names() == [])
    _ = try UnfinishedImages.create(at: path)
  }

  @Test func `locks out another process, and is locked out by one`() throws {
    let directory = try TemporaryDirectory()
    do {
      let images = try UnfinishedImages.create(at: directory.path)
      #expect(throws: Command.Failed.self) { try Command.run("flock", "-n", directory.path, "true") }
      _ = consume images
    }
    try Command.run("flock", "-n", directory.path, "true")

    // `cat` answers once the lock is taken, and ends with its input.
    let (process, input, output) = (Process(), Pipe(), Pipe())
    process.executableURL = URL(filePath: "/usr/bin/env")
    process.arguments = ["flock", directory.path, "cat"]
    process.standardInput = input
    process.standardOutput = output
    try process.run()
    input.fileHandleForWriting.write(Data([1]))
    #expect(try output.fileHandleForReading.read(upToCount: 1)?.count == 1)
    let error = try #require(throws: ImagesError.self) { _ = try UnfinishedImages.create(at: directory.path) }
    #expect(error.message.contains("another run"))
    try input.fileHandleForWriting.close()
    process.waitUntilExit()
    _ = try UnfinishedImages.create(at: directory.path)
  }

  // MARK: Publishing

  @Test func `files take their names when all are whole, the inventory last`() throws {
    let directory = try TemporaryDirectory()
    let events = DirectoryEvents(path: directory.path)
    try Images.publish([], pid: 5, at: directory.path)
    #expect(
      events.all() == [
        "create pages-1.img.partial",
        "create pagemap-5.img.partial",
        "create stats-dump.partial",
        "from pages-1.img.partial", "to pages-1.img",
        "from pagemap-5.img.partial", "to pagemap-5.img",
        "from stats-dump.partial", "to stats-dump",
        "create inventory.img.partial",
        "from inventory.img.partial", "to inventory.img",
      ])
  }

  @Test func `until it is published nothing looks finished, and nothing is left of what was not`() throws {
    let directory = try TemporaryDirectory()
    let path = "\(directory.path)/images"
    do {
      var images = try UnfinishedImages.create(at: path)
      let pages = try images.createPages()
      try pages.write([1, 2, 3])
      _ = try images.createPagemap(pid: 1)
      let names = try FileManager.default.contentsOfDirectory(atPath: path).sorted()
      #expect(names == ["pagemap-1.img.partial", "pages-1.img.partial"])
    }
    #expect(try directory.names() == [])
  }

  @Test func `leaves a directory in place that it did not make`() throws {
    let directory = try TemporaryDirectory()
    do {
      var images = try UnfinishedImages.create(at: directory.path)
      _ = try images.createPages()
    }
    #expect(try directory.names() == [])
  }

  /// A directory in the place of a file makes its rename fail.
  @Test(arguments: ["pages-1.img", "pagemap-1.img", "stats-dump", "inventory.img"])
  func `a rename that fails leaves nothing that looks finished`(name: String) throws {
    let directory = try TemporaryDirectory()
    let path = "\(directory.path)/images"
    var images = try UnfinishedImages.create(at: path)
    _ = try images.createPages()
    _ = try images.createPagemap(pid: 1)
    try FileManager.default.createDirectory(
      atPath: "\(path)/\(name)", withIntermediateDirectories: false)
    let error = try images.publishingError()
    #expect(error.code == .io)
    #expect(error.message.contains("\(path)/\(name)"))
    #expect(try FileManager.default.contentsOfDirectory(atPath: path) == [name])
    #expect(try FileStatus(path: "\(path)/\(name)").isDirectory)
  }

  /// Somebody else's file in the place of one that is made while publishing.
  @Test(arguments: ["stats-dump.partial", "inventory.img.partial"])
  func `a file that cannot be made leaves nothing that looks finished`(name: String) throws {
    let directory = try TemporaryDirectory()
    var images = try UnfinishedImages.create(at: directory.path)
    _ = try images.createPages()
    _ = try images.createPagemap(pid: 1)
    try directory.write([7], to: name)
    let error = try images.publishingError()
    #expect(error.message.contains("\(directory.path)/\(name)"))
    #expect(try directory.names() == [name])
  }

  @Test func `what is published is not locked`() throws {
    let directory = try TemporaryDirectory()
    try Images.publish([], at: directory.path)
    try Command.run("flock", "-n", directory.path, "true")
  }
}
