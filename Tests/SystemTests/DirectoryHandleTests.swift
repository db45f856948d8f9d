import CSluiceLinux
import Foundation
import SluiceSystem
import SluiceTestSupport
import Testing

/// What is not opened in place of a file.
enum Oddity: CaseIterable, CustomTestStringConvertible {
  case link, linkToDevice, linkIntoProc, linkToItself, fifo, device, socket, directory

  var testDescription: String { "\(self)" }

  /// Makes it.
  func make(_ name: String, in scratch: borrowing Scratch) throws {
    switch self {
    case .link:
      try scratch.write("secret", to: "outside")
      try scratch.link(name, to: "outside")
    case .linkToDevice: try scratch.link(name, to: "/dev/zero")
    case .linkIntoProc: try scratch.link(name, to: "/proc/self/fd/0")
    case .linkToItself: try scratch.link(name, to: name.split(separator: "/").last.map(String.init) ?? name)
    case .fifo: try scratch.makeFIFO(name)
    case .device: try scratch.makeDevice(name)
    case .socket: try scratch.makeSocket(name)
    case .directory: try scratch.makeDirectory(name)
    }
  }
}

@Suite(.needsRoot) struct DirectoryHandleTests {
  private func code(_ body: () throws(SystemError) -> Void) -> SystemError.Code? {
    do throws(SystemError) {
      try body()
      return nil
    } catch {
      return error.code
    }
  }

  // MARK: Files

  @Test func `opens a regular file, below and through further directories`() throws {
    let scratch = try Scratch()
    try scratch.makeDirectory("a/b")
    try scratch.write("text", to: "a/b/file")
    let directory = try DirectoryHandle(path: scratch.path)
    #expect(try directory.openForReading("a/b/file").status.byteCount == 4)
    #expect(code { () throws(SystemError) in _ = try directory.openForReading("a/none") } == .missing)
  }

  /// None of it waits, and none of it is opened.
  @Test(arguments: Oddity.allCases) func `refuses what is no regular file`(oddity: Oddity) throws {
    let scratch = try Scratch()
    try oddity.make("odd", in: scratch)
    let directory = try DirectoryHandle(path: scratch.path)
    let expected = oddity == .directory ? SystemError.Code.failed : .refused
    #expect(code { () throws(SystemError) in _ = try directory.openForReading("odd") } == expected)
    #expect(
      code { () throws(SystemError) in _ = try directory.openForWriting("odd", trust: Trust()) } == expected)
    #expect(
      code { () throws(SystemError) in _ = try directory.openForAppending("odd", trust: Trust()) } == expected
    )
    #expect(
      code { () throws(SystemError) in _ = try directory.create("odd", direct: false) } == .failed,
      "it is there")
    if oddity == .link { #expect(try scratch.text(of: "outside") == "secret") }
  }

  /// By the kernel's own way, and by ours where it has none.
  @Test(arguments: [0, ENOSYS, EPERM]) func `nothing leads out of the directory`(fault: Int32) async throws {
    await #expect(processExitsWith: .success) { [fault] in
      let scratch = try Scratch()
      try scratch.makeDirectory("inside/deep")
      try scratch.makeDirectory("outside")
      try scratch.write("secret", to: "outside/file")
      try scratch.write("fine", to: "inside/deep/file")
      try scratch.link("inside/way", to: "../outside")
      try scratch.link("inside/deeper", to: "deep")
      let directory = try DirectoryHandle(path: scratch.path("inside"))
      Openat2.fail(with: fault)
      var answers: [String: SystemError.Code?] = [:]
      for path in [
        "deep/file", "../outside/file", "deep/../../outside/file", "way/file", "deeper/file",
        scratch.path("outside/file"), "/proc/self/root/etc/passwd",
      ] {
        do throws(SystemError) {
          _ = try directory.openForReading(path)
          answers[path] = .some(nil)
        } catch {
          answers[path] = error.code
        }
      }
      for (path, answer) in answers {
        if path == "deep/file" {
          precondition(answer == nil, "\(path) is not opened: \(String(describing: answer))")
        } else {
          precondition(answer == .refused || answer == .failed, "\(path) is opened")
        }
      }
    }
  }

  @Test func `writes to no file that has another name, or is somebody else's`() throws {
    let scratch = try Scratch()
    for name in ["own", "linked", "others"] { try scratch.write("text", to: name) }
    try scratch.makeHardLink("second", to: "linked")
    try scratch.give("others", to: 70_000)
    let directory = try DirectoryHandle(path: scratch.path)
    #expect(code { () throws(SystemError) in _ = try directory.openForWriting("own", trust: Trust()) } == nil)
    for name in ["linked", "others"] {
      #expect(
        code { () throws(SystemError) in _ = try directory.openForWriting(name, trust: Trust()) } == .refused,
        "\(name)")
      #expect(code { () throws(SystemError) in _ = try directory.openForReading(name) } == nil, "\(name)")
    }
    let everybody = Trust(everybody: true)
    #expect(
      code { () throws(SystemError) in _ = try directory.openForWriting("others", trust: everybody) } == nil)
    #expect(
      code { () throws(SystemError) in _ = try directory.openForWriting("linked", trust: everybody) }
        == .refused)
    // Whoever owns the directory may do as they like with a file of theirs.
    try scratch.give("", to: 70_000)
    #expect(
      code { () throws(SystemError) in _ = try directory.openForWriting("others", trust: Trust()) } == nil)
  }

  @Test func `appends to a file, and makes one that is not there`() throws {
    let scratch = try Scratch()
    let directory = try DirectoryHandle(path: scratch.path)
    for _ in 0..<2 {
      let file = try directory.openForAppending("log", trust: Trust())
      #expect(unsafe write(file.descriptor.number, "text", 4) == 4)
    }
    #expect(try scratch.text(of: "log") == "texttext")
  }

  // MARK: Directories

  @Test func `holds a directory that is renamed, and not what takes its place`() throws {
    let scratch = try Scratch()
    try scratch.makeDirectory("one")
    try scratch.write("mine", to: "one/file")
    let directory = try DirectoryHandle(path: scratch.path("one"))
    let identity = try directory.status().identity
    try FileManager.default.moveItem(atPath: scratch.path("one"), toPath: scratch.path("other"))
    try scratch.makeDirectory("one")
    try scratch.write("not mine, and longer", to: "one/file")
    #expect(try directory.openForReading("file").status.byteCount == 4)
    #expect(try directory.status().identity == identity)
    #expect(try DirectoryHandle(path: scratch.path("one")).status().identity != identity)
  }

  @Test func `makes a directory for ourselves alone, and removes it if it is still that`() throws {
    let scratch = try Scratch()
    let outer = try DirectoryHandle(path: scratch.path)
    let made = try outer.makeDirectory("new")
    #expect(try made.handle.status().permissions == 0o700)
    let isNew = made.isNew
    #expect(isNew)
    let again = try outer.makeDirectory("new")
    let isNewAgain = again.isNew
    #expect(!isNewAgain)
    try FileManager.default.moveItem(atPath: scratch.path("new"), toPath: scratch.path("moved"))
    try scratch.makeDirectory("new")
    made.remove()
    #expect(try outer.status(of: "new") != nil)
    #expect(try outer.status(of: "moved") != nil)
    try FileManager.default.removeItem(atPath: scratch.path("new"))
    try FileManager.default.moveItem(atPath: scratch.path("moved"), toPath: scratch.path("new"))
    made.remove()
    #expect(try outer.status(of: "new") == nil)
  }

  @Test func `no link is taken for a directory`() throws {
    let scratch = try Scratch()
    try scratch.makeDirectory("outside")
    try scratch.link("way", to: "outside")
    let outer = try DirectoryHandle(path: scratch.path)
    #expect(code { () throws(SystemError) in _ = try outer.makeDirectory("way") } != nil)
    #expect(code { () throws(SystemError) in _ = try outer.openDirectory("way") } != nil)
    // By its whole path a user may name what they like.
    #expect(code { () throws(SystemError) in _ = try DirectoryHandle.make(path: scratch.path("way")) } == nil)
  }

  @Test(arguments: [
    ("a", ".", "a"), ("/a", "/", "a"), ("a/b", "a/", "b"), ("/a/b//", "/a/", "b"), ("./a", "./", "a"),
  ])
  func `tells the directory around a path`(path: String, outer: String, name: String) {
    let parts = DirectoryHandle.split(path)
    #expect(parts.outer == outer)
    #expect(parts.name == name)
  }

  @Test(arguments: ["", "/", ".", "..", "a/..", "a/.", "../"])
  func `takes no step for a name`(path: String) {
    #expect(DirectoryHandle.split(path).name == nil)
  }
}
