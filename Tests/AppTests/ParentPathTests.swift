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
      // The images directory is not there yet.
      #expect(ParentPath.resolve("../1", imagesDirectory: "\(directory)/3") == "\(directory)/1")
      #expect(ParentPath.resolve("../1", imagesDirectory: "\(directory)/new/3") == "\(directory)/new/1")
      #expect(ParentPath.resolve("../../1", imagesDirectory: "\(directory)/new/3/") == "\(directory)/1")
      #expect(ParentPath.resolve("\(directory)/1", imagesDirectory: "/none") == "\(directory)/1")
      #expect(ParentPath.resolve("../1", imagesDirectory: "3") == "./1")
      #expect(ParentPath.resolve("../1", imagesDirectory: "/3") == "/1")
    }
  }

  @Test func `else from the current directory, if it is there`() {
    #expect(ParentPath.resolve(".", imagesDirectory: "/none/of/this") == ".")
    #expect(ParentPath.resolve("nowhere", imagesDirectory: "/none") == "/none/nowhere")
  }
}
