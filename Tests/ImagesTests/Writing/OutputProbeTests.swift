import Foundation
import Testing

@testable import SluiceImages

@Suite struct OutputProbeTests {
  @Test(arguments: ["", "/images", "/images/", "/missing/images", "/a/b/c/"])
  func `leaves nothing behind`(path: String) throws {
    let directory = try TemporaryDirectory()
    _ = try OutputProbe(directory: directory.path + path)
    let names = try directory.names()
    #expect(names == [])
  }

  @Test func `knows what is free`() throws {
    let directory = try TemporaryDirectory()
    let free = try #require(try OutputProbe(directory: directory.path + "/none/yet").freeBytes)
    #expect(free > 0)
  }

  @Test func `knows what is memory`() throws {
    #expect(try OutputProbe(directory: "/dev/shm").isInMemory)
  }

  @Test func `refuses a directory of images`() throws {
    let directory = try TemporaryDirectory()
    try directory.write([], to: "inventory.img")
    let path = directory.path
    let error = #expect(throws: ImagesError.self) { try OutputProbe(directory: path) }
    #expect(error?.code == .cannotCreate)
    #expect(error?.message.contains("inventory.img") == true)
    // The file goes with the directory, which must last until here.
    let names = try directory.names()
    #expect(names == ["inventory.img"])
  }
}
