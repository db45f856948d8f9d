import Glibc
import SluiceSystem
import Testing

@testable import SluiceImages

@Suite struct OutputFileTests {
  @Test func `writes at offsets, and what was never written is a hole`() throws {
    let directory = try TemporaryDirectory()
    var images = try UnfinishedImages.create(at: directory.path)
    let file = try images.createPages()
    try file.write([4, 5, 6], at: 1 << 20)
    try file.write([1, 2], at: 0)
    try file.write([], at: 5)
    try file.write([9], at: 1)
    try file.sync()
    let bytes = try directory.bytes(of: "pages-1.img.partial")
    #expect(bytes.count == 1 << 20 + 3)
    #expect(bytes[..<4] == [1, 9, 0, 0])
    #expect(Array(bytes.suffix(4)) == [0, 4, 5, 6])
    #expect(file.path == "\(directory.path)/pages-1.img.partial")
  }

  @Test func `never takes a file that is there already`() throws {
    let directory = try TemporaryDirectory()
    var images = try UnfinishedImages.create(at: directory.path)
    // Made between the look at the directory and now, as by somebody who means harm.
    try directory.write([7], to: "pages-1.img.partial")
    let error = try #require(throws: ImagesError.self) { try images.createPages() }
    #expect(error.code == .cannotCreate)
    #expect(error.description.contains("EEXIST"))
    #expect(error.description.contains("pages-1.img.partial"))
    #expect(try directory.bytes(of: "pages-1.img.partial") == [7])
  }

  @Test(arguments: [
    (ENOSPC, "ENOSPC", "free some space there or choose another directory"),
    (EDQUOT, "EDQUOT", "free some space there or choose another directory"),
    (EFBIG, "EFBIG", "(ulimit -f)"),
    (EIO, "EIO", "writing /images/pages-1.img"),
  ])
  func `says what can be done about a write that failed`(errno: Int32, name: String, advice: String) {
    let error = OutputFile.writeFailed("/images/pages-1.img", result: -Int(errno))
    #expect(error.code == .io)
    #expect(error.description.contains("/images/pages-1.img"))
    #expect(error.message.hasSuffix(advice))
    #expect(error.errno?.name == name)
  }
}
