import Foundation
import SluiceTestSupport
import Testing

@testable import sluice

@Suite struct ParentPathTests {
  @Test func `a relative path is read from the images directory, as CRIU does`() async throws {
    try await withTemporaryDirectory { directory in
      for name in ["1", "2"] {
        try FileManager.default.createDirectory(
          atPath: "\(directory)/\(name)", withIntermediateDirectories: false)
      }
      #expect(ParentPath.resolve("../1", imagesDirectory: "\(directory)/2") == "\(directory)/2/../1")
      for way in ["./../1", ".//./../1", "./.././1", "new/../../1", "../1/", "./../2/../1"] {
        let path = ParentPath.resolve(way, imagesDirectory: "\(directory)/3")
        #expect(isSame(path, "\(directory)/1"), "\(way): \(path)")
      }
      // The images directory is not there yet.
      #expect(ParentPath.resolve("../1", imagesDirectory: "\(directory)/3") == "\(directory)/1")
      #expect(ParentPath.resolve("../1", imagesDirectory: "\(directory)/new/3") == "\(directory)/new/1")
      #expect(ParentPath.resolve("../../1", imagesDirectory: "\(directory)/new/3/") == "\(directory)/1")
      #expect(ParentPath.resolve("\(directory)/1", imagesDirectory: "/none") == "\(directory)/1")
      #expect(ParentPath.resolve("../1", imagesDirectory: "3") == "./1")
      #expect(ParentPath.resolve("../1", imagesDirectory: "/3") == "/1")
    }
  }

  /// Whether both are one directory.
  private func isSame(_ path: String, _ other: String) -> Bool {
    var (first, second) = (stat(), stat())
    return unsafe stat(path, &first) == 0 && stat(other, &second) == 0 && first.st_ino == second.st_ino
      && first.st_dev == second.st_dev
  }

  @Test func `else from the current directory, if it is there`() {
    #expect(ParentPath.resolve(".", imagesDirectory: "/none/of/this") == ".")
    #expect(ParentPath.resolve("nowhere", imagesDirectory: "/none") == "/none/nowhere")
  }
}
