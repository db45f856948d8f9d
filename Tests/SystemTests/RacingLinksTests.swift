import CSluiceLinux
import Foundation
import SluiceSystem
import SluiceTestSupport
import Testing

/// Somebody swaps names for as long as we look: a child process, as it would be in life.
@Suite(.needsRoot) struct RacingLinksTests {
  /// Swaps two names without end: neither is ever missing (RENAME_EXCHANGE).
  private static let program = """
    import ctypes, sys
    libc = ctypes.CDLL(None)
    one, other = sys.argv[1].encode(), sys.argv[2].encode()
    print("ready", flush=True)
    while True: libc.renameat2(-100, one, -100, other, 2)
    """

  private func withSwapping(_ one: String, _ other: String, _ body: () throws -> Void) async throws {
    var command = try Command(installed: "python3", ["-c", Self.program, one, other])
    command.output = .lines
    try await withProgram(command) { program in
      #expect(try await program.nextLine() == "ready")
      try body()
    }
  }

  @Test func `nothing is written through a link that takes a file's place`() async throws {
    let scratch = try Scratch()
    try scratch.makeDirectory("inside")
    try scratch.write("secret", to: "canary")
    try scratch.write("text", to: "inside/file")
    try scratch.link("inside/link", to: "../canary")
    let directory = try DirectoryHandle(path: scratch.path("inside"))
    var (written, refused) = (0, 0)
    try await withSwapping(scratch.path("inside/file"), scratch.path("inside/link")) {
      for _ in 0..<10_000 {
        do throws(SystemError) {
          let file = try directory.openForWriting("file", trust: Trust())
          #expect(unsafe pwrite(file.descriptor.number, "XXXX", 4, 0) == 4)
          written += 1
        } catch {
          #expect(error.code == .refused, "\(error)")
          refused += 1
        }
      }
    }
    #expect(try scratch.text(of: "canary") == "secret")
    // Both were met, or this has tried nothing.
    #expect(written > 0 && refused > 0, "\(written) times written, \(refused) times refused")
  }

  @Test func `nothing is made in a directory that takes the place of another`() async throws {
    let scratch = try Scratch()
    try scratch.makeDirectory("inside/real")
    try scratch.makeDirectory("canary")
    try scratch.link("inside/link", to: "../canary")
    let directory = try DirectoryHandle(path: scratch.path("inside"))
    var (made, refused) = (0, 0)
    try await withSwapping(scratch.path("inside/real"), scratch.path("inside/link")) {
      for number in 0..<10_000 {
        do throws(SystemError) {
          let handle = try directory.openDirectory("real")
          _ = try handle.create("\(number)", direct: false)
          made += 1
        } catch {
          refused += 1
        }
      }
    }
    #expect(try FileManager.default.contentsOfDirectory(atPath: scratch.path("canary")).isEmpty)
    #expect(made > 0 && refused > 0, "\(made) made, \(refused) refused")
  }
}
