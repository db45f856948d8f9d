import Foundation
import SluiceSystem
import SluiceTestSupport
import Testing

@testable import SluiceImages

/// Directories in which something is not what its name promises, because somebody else can write them.
@Suite(.needsRoot) struct OddDirectoriesTests {
  private static let pages = 2
  private static let text = [UInt8](repeating: 0x41, count: pages * Int(Images.pageSize))

  /// Two directories, the second upon the first, that have the same pages: dedup gives back all of the first's.
  private func makeChain(at path: String) throws {
    for number in [1, 2] {
      let parent = number == 1 ? nil : try ParentImages(path: "\(path)/1")
      var images = try UnfinishedImages.create(at: "\(path)/\(number)", parent: parent)
      try images.createPages().write(Self.text)
      let file = try images.createPagemap(pid: 1)
      var writer = try PagemapImageWriter(file: file, pagesID: 1, pageSize: Images.pageSize)
      try writer.append(PagemapRun(address: 0x10000, pageCount: UInt64(Self.pages), flags: .present))
      try writer.finish()
      try images.publish()
    }
  }

  private func expectRefusal(_ path: String) throws {
    let chain = try ImageChain(path: "\(path)/2")
    let error = try #require(throws: ImagesError.self) {
      _ = try chain.dedup()
    }
    #expect(error.code == .malformed, "\(error)")
  }

  @Test func `dedup gives back what is as it should be`() throws {
    let directory = try TemporaryDirectory()
    try makeChain(at: directory.path)
    #expect(try ImageChain(path: "\(directory.path)/2").dedup().pages == UInt64(Self.pages))
  }

  /// A link, and a second name of a file outside: neither is punched holes into.
  @Test(arguments: ["link", "second name", "file of another"])
  func `dedup writes to nothing outside`(shape: String) throws {
    let directory = try TemporaryDirectory()
    try makeChain(at: directory.path)
    try directory.write(Self.text, to: "victim")
    let (victim, pages) = ("\(directory.path)/victim", "\(directory.path)/1/pages-1.img")
    try FileManager.default.removeItem(atPath: pages)
    switch shape {
    case "link": try FileManager.default.createSymbolicLink(atPath: pages, withDestinationPath: "../victim")
    case "second name": try FileManager.default.linkItem(atPath: victim, toPath: pages)
    default:
      try FileManager.default.moveItem(atPath: victim, toPath: pages)
      #expect(unsafe chown(pages, 70_000, 70_000) == 0)
      try expectRefusal(directory.path)
      #expect(try directory.bytes(of: "1/pages-1.img") == Self.text)
      return
    }
    try expectRefusal(directory.path)
    #expect(try directory.bytes(of: "victim") == Self.text)
  }

  @Test func `dedup follows nobody to what is ours`() throws {
    let directory = try TemporaryDirectory()
    try makeChain(at: directory.path)
    let tenant: uid_t = 70_000
    for name in ["2", "2/parent"] { #expect(unsafe lchown("\(directory.path)/\(name)", tenant, tenant) == 0) }
    let error = try #require(throws: ImagesError.self) { _ = try ImageChain(path: "\(directory.path)/2") }
    #expect(error.code == .malformed)
    #expect(error.description.contains("--trust-parent"), "\(error)")
    #expect(try directory.bytes(of: "1/pages-1.img") == Self.text)
    let trusted = try ImageChain(path: "\(directory.path)/2", trust: Trust(everybody: true))
    #expect(try trusted.dedup().pages == UInt64(Self.pages))
  }

  /// Nothing waits for whoever may write into a FIFO.
  @Test(arguments: ["pagemap-1.img", "inventory.img", "tracked.img"])
  func `a FIFO is no image`(name: String) throws {
    let directory = try TemporaryDirectory()
    try makeChain(at: directory.path)
    let path = "\(directory.path)/2/\(name)"
    try? FileManager.default.removeItem(atPath: path)
    #expect(unsafe mkfifo(path, 0o600) == 0)
    let error = try #require(throws: ImagesError.self) {
      let images = try ParentImages(path: "\(directory.path)/2")
      _ = try images.coverage(pid: 1)
    }
    #expect(error.code == .malformed)
    #expect(error.description.contains("\(name) is a FIFO"), "\(error)")
  }

  @Test func `other files are copied as they are, and links not at all`() throws {
    let directory = try TemporaryDirectory()
    try makeChain(at: directory.path)
    // A terabyte without data takes no time, and no space.
    let (huge, length) = ("\(directory.path)/2/core-1.img", UInt64(1) << 40)
    try directory.write([1, 2, 3], to: "2/core-1.img")
    #expect(unsafe truncate(huge, off_t(length)) == 0)
    var copy = try UnfinishedImages.create(at: "\(directory.path)/copy")
    let whole = try ImageChain(path: "\(directory.path)/2")
    try copy.copyOtherFiles(of: whole)
    try copy.publish(inventoryOf: whole, syncs: false)
    let status = try #require(try DirectoryHandle(path: "\(directory.path)/copy").status(of: "core-1.img"))
    #expect(status.byteCount == length)
    #expect(status.allocatedBytes < 1 << 20)
    try FileManager.default.removeItem(atPath: huge)
    try FileManager.default.createSymbolicLink(atPath: huge, withDestinationPath: "/dev/zero")
    var other = try UnfinishedImages.create(at: "\(directory.path)/other")
    let chain = try ImageChain(path: "\(directory.path)/2")
    #expect(throws: ImagesError.self) { try other.copyOtherFiles(of: chain) }
  }

  /// Until then the directory is ours, and nobody else puts anything into it.
  @Test func `images are given away when they are complete`() throws {
    let directory = try TemporaryDirectory()
    func owner(_ name: String) throws -> UInt32? {
      try DirectoryHandle(path: directory.path).status(of: name)?.user
    }
    let owner70000 = FileOwner(user: 70_000, group: 80_000)
    var images = try UnfinishedImages.create(at: "\(directory.path)/1", owner: owner70000)
    try images.createPages().write(Self.text)
    #expect(try owner("1") == 0)
    #expect(try owner("1/pages-1.img.partial") == 0)
    try images.publish()
    for name in ["1", "1/pages-1.img", "1/inventory.img", "1/stats-dump"] {
      #expect(try owner(name) == 70_000, "\(name)")
    }
    try UnfinishedImages.makeDirectory(at: "\(directory.path)/rounds", owner: owner70000)
    let rounds = try #require(try DirectoryHandle(path: directory.path).status(of: "rounds"))
    #expect(rounds.user == 0 && rounds.group == 80_000 && rounds.permissions == 0o710)
  }

  /// What took the place of the directory that was made is neither written nor given away.
  @Test func `a directory that was put in the place of ours is left alone`() throws {
    let directory = try TemporaryDirectory()
    let path = "\(directory.path)/1"
    var images = try UnfinishedImages.create(at: path, owner: FileOwner(user: 70_000, group: 70_000))
    try FileManager.default.moveItem(atPath: path, toPath: "\(directory.path)/moved")
    try FileManager.default.createDirectory(
      atPath: "\(directory.path)/outside", withIntermediateDirectories: false)
    try FileManager.default.createSymbolicLink(atPath: path, withDestinationPath: "outside")
    try images.createPages().write(Self.text)
    try images.publish()
    #expect(try FileManager.default.contentsOfDirectory(atPath: "\(directory.path)/outside").isEmpty)
    #expect(try DirectoryHandle(path: directory.path).status(of: "outside")?.user == 0)
    #expect(try ImagesDirectory(path: "\(directory.path)/moved").inventory() != nil)
  }
}
