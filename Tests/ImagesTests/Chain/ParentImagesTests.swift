import Foundation
import Testing

@testable import SluiceImages

@Suite struct ParentImagesTests {
  private func publish(
    at path: String, parent: ParentImages? = nil, tracked: TrackedProcesses? = nil
  ) throws {
    let images = try UnfinishedImages.create(at: path, parent: parent)
    try images.publish(
      inventory: Inventory(dumpUptime: 300, preDumpMode: .read), statistics: DumpStatistics(),
      trackedProcesses: tracked, syncs: false)
  }

  @Test func `tells what the images say of themselves`() throws {
    let directory = try TemporaryDirectory()
    let tracked = TrackedProcesses(
      bootID: "0b1c", processes: [.init(pid: 1, startTime: 12_345), .init(pid: 99, startTime: UInt64.max)])
    try publish(at: "\(directory.path)/1", tracked: tracked)
    let parent = try ParentImages(path: "\(directory.path)/1")
    #expect(parent.inventory?.dumpUptime == 300)
    #expect(parent.tracked == tracked)
    #expect(!parent.isSetAside)
    #expect(parent.child == nil)
  }

  @Test func `the link is relative, from wherever to wherever`() throws {
    let directory = try TemporaryDirectory()
    for (parent, child, text) in [
      ("1", "2", "../1"), ("deep/er/1", "2", "../deep/er/1"), ("3", "other/deep/2", "../../../3"),
    ] {
      for path in [parent, child] {
        try FileManager.default.createDirectory(
          atPath: "\(directory.path)/\(path)", withIntermediateDirectories: true)
      }
      try publish(at: "\(directory.path)/\(parent)")
      let images = try ParentImages(path: "\(directory.path)/\(parent)")
      let unfinished = try UnfinishedImages.create(at: "\(directory.path)/\(child)", parent: images)
      _ = consume unfinished
      // Nothing is left of images that were not published, the link neither.
      #expect(try ImagesDirectory(path: "\(directory.path)/\(child)").parentLink() == nil)
      try publish(at: "\(directory.path)/\(child)", parent: images)
      #expect(try ImagesDirectory(path: "\(directory.path)/\(child)").parentLink() == text)
      try FileManager.default.removeItem(atPath: "\(directory.path)/\(child)")
      try FileManager.default.removeItem(atPath: "\(directory.path)/\(parent)")
    }
  }

  @Test func `a link that an earlier run has left is put right`() throws {
    let directory = try TemporaryDirectory()
    try publish(at: "\(directory.path)/1")
    for parent in [nil, try ParentImages(path: "\(directory.path)/1")] {
      try FileManager.default.createDirectory(
        atPath: "\(directory.path)/2", withIntermediateDirectories: false)
      try FileManager.default.createSymbolicLink(
        atPath: "\(directory.path)/2/parent", withDestinationPath: "../somewhere")
      try publish(at: "\(directory.path)/2", parent: parent)
      let link = try ImagesDirectory(path: "\(directory.path)/2").parentLink()
      #expect(link == (parent == nil ? nil : "../1"))
      try FileManager.default.removeItem(atPath: "\(directory.path)/2")
    }
  }

  @Test func `no directory is its own parent`() throws {
    let directory = try TemporaryDirectory()
    try publish(at: directory.path)
    let parent = try ParentImages(path: directory.path)
    try FileManager.default.removeItem(atPath: "\(directory.path)/inventory.img")
    #expect(throws: ImagesError.self) {
      _ = try UnfinishedImages.create(at: directory.path, parent: parent)
    }
  }

  @Test func `set aside, the images are unfinished for everybody until they are put back`() throws {
    let directory = try TemporaryDirectory()
    let path = directory.path
    try publish(at: path)
    let parent = try ParentImages(path: path)
    try parent.setAside()
    #expect(try ImagesDirectory(path: path).inventory() == nil)
    #expect(try ParentImages(path: path).isSetAside)
    #expect(try ImagesDirectory(path: path).completion().inventory?.dumpUptime == 300)
    #expect(try ImagesDirectory(path: path).completion() != .complete(try #require(parent.inventory)))
    try parent.putBack()
    #expect(try ImagesDirectory(path: path).completion() == .complete(try #require(parent.inventory)))
    #expect(try ImagesDirectory(path: path).inventory()?.dumpUptime == 300)
    #expect(try !ParentImages(path: path).isSetAside)
    #expect(throws: ImagesError.self) { try parent.putBack() }
  }

  @Test func `remembers the round that was built on it`() throws {
    let directory = try TemporaryDirectory()
    try publish(at: "\(directory.path)/1")
    let parent = try ParentImages(path: "\(directory.path)/1")
    try publish(at: "\(directory.path)/2", parent: parent)
    try parent.noteChild(at: "\(directory.path)/2")
    try parent.noteChild(at: "\(directory.path)/2")
    #expect(try ParentImages(path: "\(directory.path)/1").child == "../2")
  }

  @Test func `what a later Sluice has written into tracked.img is not passed over`() throws {
    let directory = try TemporaryDirectory()
    try publish(at: directory.path, tracked: TrackedProcesses(bootID: "x", processes: []))
    let bytes = try directory.bytes(of: "tracked.img")
    let task = WireFormat.message([(1, 1), (2, 2), (3, 3)])
    try directory.write(bytes + WireFormat.record(task), to: "tracked.img")
    let error = try #require(throws: ImagesError.self) { try ParentImages(path: directory.path) }
    #expect(error.code == .malformed)
    #expect(error.message.contains("tracked.img was made by a newer Sluice"), "\(error)")
  }

  @Test func `more tasks than there can be take no memory`() throws {
    let directory = try TemporaryDirectory()
    try publish(at: directory.path, tracked: TrackedProcesses(bootID: "x", processes: []))
    let task = WireFormat.record(WireFormat.message([(1, 1), (2, 2)]))
    let many = Array(repeatElement(task, count: TrackedProcesses.most + 1).joined())
    let bytes = try directory.bytes(of: "tracked.img")
    try directory.write(bytes + many.dropLast(task.count), to: "tracked.img")
    #expect(try ParentImages(path: directory.path).tracked?.processes.count == TrackedProcesses.most)
    try directory.write(bytes + many, to: "tracked.img")
    let error = try #require(throws: ImagesError.self) { try ParentImages(path: directory.path) }
    #expect(error.code == .malformed)
  }

  @Test func `refuses a broken tracked.img`() throws {
    let directory = try TemporaryDirectory()
    try publish(
      at: directory.path, tracked: TrackedProcesses(bootID: "x", processes: [.init(pid: 1, startTime: 2)]))
    let bytes = try directory.bytes(of: "tracked.img")
    for count in [0, 3, 4, 8, 11, 13, bytes.count - 1] {
      try directory.write([UInt8](bytes[..<count]), to: "tracked.img")
      #expect(throws: ImagesError.self, "\(count) bytes") { try ParentImages(path: directory.path) }
    }
  }
}
