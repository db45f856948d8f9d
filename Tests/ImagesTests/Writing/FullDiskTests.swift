import Foundation
import SluiceTestSupport
import Testing

@testable import SluiceImages

/// Every step of making images meets a disk that is full.
@Suite(.needsRoot) struct FullDiskTests {
  @Test func `pages that find no room are an error, and all that was made is removed`() throws {
    let disk = try SmallFilesystem(kibibytes: 64, files: 10)
    let path = "\(disk.path)/images"
    do {
      var images = try UnfinishedImages.create(at: path)
      let file = try images.createPages()
      let chunk = [UInt8](repeating: 1, count: 48 << 10)
      try file.write(chunk, at: 0)
      // Partly there is room: what is written short is tried again, and then refused.
      let error = try #require(throws: ImagesError.self) { try file.write(chunk, at: 48 << 10) }
      #expect(error.code == .io)
      #expect(error.description.contains("ENOSPC"))
      #expect(error.message.contains("\(path)/pages-1.img.partial: the disk is full; free some space"))
      #expect(try disk.names() == ["images"])
    }
    #expect(try disk.names() == [])
  }

  @Test func `a pagemap that finds no room is an error`() throws {
    let disk = try SmallFilesystem(kibibytes: 128, files: 10)
    do {
      var images = try UnfinishedImages.create(at: "\(disk.path)/images")
      let file = try images.createPagemap(pid: 1)
      var writer = try PagemapImageWriter(file: file, pagesID: 1, pageSize: Images.pageSize)
      var failure: ImagesError?
      for index in 0..<100_000 {
        do throws(ImagesError) {
          try writer.append(PagemapRun(address: UInt64(index) << 13, pageCount: 1, flags: .present))
        } catch {
          failure = error
          break
        }
      }
      let error = try #require(failure)
      #expect(error.code == .io)
      #expect(error.description.contains("ENOSPC"))
    }
    #expect(try disk.names() == [])
  }

  /// Two files fit; stats-dump is the third, the inventory the fourth.
  @Test(arguments: [(3, "stats-dump.partial"), (4, "inventory.img.partial")])
  func `publishing that finds no room for a file leaves nothing`(files: Int, name: String) throws {
    let disk = try SmallFilesystem(kibibytes: 64, files: files)
    let path = "\(disk.path)/images"
    var images = try UnfinishedImages.create(at: path)
    _ = try images.createPages()
    _ = try images.createPagemap(pid: 1)
    let error = try images.publishingError()
    #expect(error.description.contains("\(path)/\(name)"))
    #expect(error.description.contains("ENOSPC"))
    #expect(try disk.names() == [])
  }

  /// The pages take everything but two pages of the disk, or all but one: stats-dump or the inventory finds
  /// no room for its bytes.
  @Test(arguments: [(16, "stats-dump.partial"), (15, "inventory.img.partial")])
  func `publishing that finds no room for bytes leaves nothing`(pages: Int, name: String) throws {
    let disk = try SmallFilesystem(kibibytes: 64, files: 10)
    let path = "\(disk.path)/images"
    var images = try UnfinishedImages.create(at: path)
    try images.createPages().write([UInt8](repeating: 1, count: pages << 12))
    let error = try images.publishingError()
    #expect(error.code == .io)
    #expect(error.description.contains("\(path)/\(name)"))
    #expect(error.description.contains("ENOSPC"))
    #expect(try disk.names() == [])
  }

  @Test func `a directory that finds no room is an error`() throws {
    let disk = try SmallFilesystem(kibibytes: 64, files: 0)
    let error = try #require(throws: ImagesError.self) {
      _ = try UnfinishedImages.create(at: "\(disk.path)/images")
    }
    #expect(error.code == .cannotCreate)
    #expect(error.description.contains("ENOSPC"))
  }

  @Test func `a disk that may only be read is an error`() throws {
    let disk = try SmallFilesystem(kibibytes: 64, files: 10)
    try disk.makeReadOnly()
    let error = try #require(throws: ImagesError.self) {
      _ = try UnfinishedImages.create(at: "\(disk.path)/images")
    }
    #expect(error.code == .cannotCreate)
    #expect(error.description.contains("EROFS"))
    var images = try UnfinishedImages.create(at: disk.path)
    let second = try #require(throws: ImagesError.self) { try images.createPages() }
    #expect(second.code == .cannotCreate)
    #expect(second.description.contains("EROFS"))
  }
}

extension SmallFilesystem {
  fileprivate func names() throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: path).sorted()
  }
}
