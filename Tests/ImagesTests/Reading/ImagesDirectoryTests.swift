import Foundation
import Testing

@testable import SluiceImages

@Suite struct ImagesDirectoryTests {
  @Test func `lists names and pids in order`() throws {
    let directory = try TemporaryDirectory()
    let others = [
      "pagemap-.img", "pagemap-x.img", "pagemap-5", "pagemap-shmem-3.img", "pagemap-6.img.partial",
    ]
    for name in ["pagemap-10.img", "pagemap-9.img", "pages-1.img"] + others {
      try directory.write([], to: name)
    }
    let images = try ImagesDirectory(path: directory.path)
    let (names, pids) = (try images.names(), try images.pids())
    #expect(names == (["pagemap-10.img", "pagemap-9.img", "pages-1.img"] + others).sorted())
    #expect(pids == [9, 10])
  }

  @Test func `more files than images have are not listed`() throws {
    let directory = try TemporaryDirectory()
    try directory.write([], to: "0")
    for number in 1..<ImagesDirectory.mostNames {
      try #require(unsafe symlink("0", "\(directory.path)/\(number)") == 0)
    }
    let images = try ImagesDirectory(path: directory.path)
    let count = try images.names().count
    #expect(count == ImagesDirectory.mostNames)
    try directory.write([], to: "one-more")
    let error = #expect(throws: ImagesError.self) { try ImagesDirectory(path: directory.path).names() }
    #expect(error?.code == .malformed)
  }

  @Test func `the text of the parent link is given as it stands`() throws {
    let directory = try TemporaryDirectory()
    let images = try ImagesDirectory(path: directory.path)
    let none = try images.parentLink()
    #expect(none == nil)
    try FileManager.default.createSymbolicLink(
      atPath: "\(directory.path)/parent", withDestinationPath: "../1")
    let text = try images.parentLink()
    #expect(text == "../1")
  }

  @Test func `a parent that is no link is an error`() throws {
    let directory = try TemporaryDirectory()
    try directory.write([], to: "parent")
    let path = directory.path
    #expect(throws: ImagesError.self) { try ImagesDirectory(path: path).parentLink() }
  }

  @Test func `tells the size of a pages file and what it takes on its disk`() throws {
    let directory = try TemporaryDirectory()
    do {
      var images = try UnfinishedImages.create(at: directory.path)
      try images.createPages(id: 2).write([1], at: 64 << 20 - 1)
      try images.publish()
    }
    let images = try ImagesDirectory(path: directory.path)
    let (file, none) = (try images.pagesFile(id: 2), try images.pagesFile(id: 1))
    #expect(file?.byteCount == 64 << 20)
    #expect((1...1 << 20).contains(file?.allocatedBytes ?? 0))
    #expect(none == nil)
  }

  @Test func `a directory that is not there is an error of its own kind`() throws {
    let directory = try TemporaryDirectory()
    try directory.write([], to: "file")
    for path in ["\(directory.path)/none", "\(directory.path)/file", "\(directory.path)/file/none"] {
      let error = try #require(throws: ImagesError.self) { _ = try ImagesDirectory(path: path) }
      #expect(error.code == .noSuchDirectory)
      #expect(error.message.contains(path))
    }
  }

  @Test func `an image that cannot be read is an error that names it`() throws {
    let directory = try TemporaryDirectory()
    for name in ["inventory.img", "pagemap-1.img"] {
      try FileManager.default.createDirectory(
        atPath: "\(directory.path)/\(name)", withIntermediateDirectories: false)
    }
    let path = directory.path
    let errors = [
      try #require(throws: ImagesError.self) { _ = try ImagesDirectory(path: path).inventory() },
      try #require(throws: ImagesError.self) { _ = try Images.entries(ofPid: 1, at: path) },
    ]
    for (error, name) in zip(errors, ["inventory.img", "pagemap-1.img"]) {
      #expect(error.code == .io)
      #expect(error.description.contains(name))
      #expect(error.description.contains("EISDIR"))
    }
  }
}
