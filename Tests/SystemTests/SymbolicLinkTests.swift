import Foundation
import SluiceSystem
import SluiceTestSupport
import Testing

@Suite("Symbolic links")
struct SymbolicLinkTests {
  @Test func haveATextThatNeedNotLeadAnywhere() async throws {
    try await withTemporaryDirectory { directory in
      for text in ["/no where", "é", String(repeating: "a/", count: 2000)] {
        let path = "\(directory)/link"
        try FileManager.default.createSymbolicLink(atPath: path, withDestinationPath: text)
        #expect(try SymbolicLink.text(of: path, called: path) == text)
        try FileManager.default.removeItem(atPath: path)
      }
    }
  }

  /// The kernel makes their texts up.
  @Test func ofProcAreRead() throws {
    #expect(try SymbolicLink.text(of: "/proc/self", called: "/proc/self") == "\(getpid())")
    #expect(try SymbolicLink.text(of: "/proc/self/ns/user", called: "").hasPrefix("user:["))
  }

  @Test func areToldFromWhatIsNone() async throws {
    try await withTemporaryDirectory { directory in
      let missing = #expect(throws: SystemError.self) {
        try SymbolicLink.text(of: "\(directory)/none", called: "DIR/none")
      }
      #expect(missing?.code == .missing)
      #expect(missing?.message == "reading the link DIR/none")
      let refused = #expect(throws: SystemError.self) { try SymbolicLink.text(of: directory, called: "DIR") }
      #expect(refused?.code == .refused)
      #expect(refused?.message == "DIR is no symbolic link")
    }
  }
}
