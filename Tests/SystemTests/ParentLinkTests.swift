import CSluiceLinux
import Foundation
import SluiceSystem
import SluiceTestSupport
import Testing

/// The one link that is followed, and where to.
@Suite(.needsRoot) struct ParentLinkTests {
  private static let tenant: UInt32 = 70_000

  /// What comes of following a link.
  private enum Outcome: Hashable {
    case none
    case followed(FileIdentity)
    case failed(SystemError.Code)
  }

  private func follow(
    _ child: String, in scratch: borrowing Scratch, trust: Trust = Trust()
  ) throws -> Outcome {
    let directory = try DirectoryHandle(path: scratch.path(child))
    do throws(SystemError) {
      guard let parent = try directory.follow("parent", trust: trust) else { return .none }
      return .followed(try parent.status().identity)
    } catch {
      return .failed(error.code)
    }
  }

  private func identity(_ name: String, in scratch: borrowing Scratch) throws -> Outcome {
    .followed(try DirectoryHandle(path: scratch.path(name)).status().identity)
  }

  /// Two directories, and a link from the second to the first.
  private func makeChain(in scratch: borrowing Scratch, text: String = "../1") throws {
    try scratch.makeDirectory("1")
    try scratch.makeDirectory("2")
    try scratch.link("2/parent", to: text)
  }

  @Test func `follows our own, relative and absolute`() throws {
    let scratch = try Scratch()
    try makeChain(in: scratch)
    let first = try identity("1", in: scratch)
    #expect(try follow("2", in: scratch) == first)
    #expect(try follow("1", in: scratch) == .none)
    try FileManager.default.removeItem(atPath: scratch.path("2/parent"))
    try scratch.link("2/parent", to: scratch.path("1"))
    #expect(try follow("2", in: scratch) == first)
    try FileManager.default.removeItem(atPath: scratch.path("1"))
    #expect(try follow("2", in: scratch) == .failed(.missing))
  }

  /// A user is led to nothing that is not theirs, but within what is theirs they may lead.
  @Test(arguments: [
    // Whose the link is, the directory around it, and the one that it leads to; and whether it is followed.
    (0, 0, 0, true), (0, 0, tenant, false), (tenant, 0, 0, false), (tenant, tenant, 0, false),
    (tenant, tenant, tenant, true), (0, tenant, tenant, true), (0, tenant, 0, true),
    (tenant, tenant, tenant + 1, false), (tenant + 1, tenant, tenant, false),
  ])
  func `follows nobody to what is not theirs`(link: UInt32, around: UInt32, target: UInt32, isFollowed: Bool)
    throws
  {
    let scratch = try Scratch()
    try makeChain(in: scratch)
    try scratch.give("2/parent", to: link)
    try scratch.give("2", to: around)
    try scratch.give("1", to: target)
    let first = try identity("1", in: scratch)
    #expect(try follow("2", in: scratch) == (isFollowed ? first : .failed(.refused)))
    #expect(try follow("2", in: scratch, trust: Trust(everybody: true)) == first)
  }

  /// As between two rounds whose images were given to a tenant.
  @Test func `a user can be trusted with what is theirs`() throws {
    let scratch = try Scratch()
    try makeChain(in: scratch)
    try scratch.give("1", to: Self.tenant)
    let first = try identity("1", in: scratch)
    #expect(try follow("2", in: scratch) == .failed(.refused))
    let trust = Trust(users: [Self.tenant])
    #expect(try follow("2", in: scratch, trust: trust) == first)
    // But not with what is ours.
    try scratch.give("1", to: 0)
    try scratch.give("2/parent", to: Self.tenant)
    #expect(try follow("2", in: scratch, trust: trust) == .failed(.refused))
  }

  @Test(arguments: [(0o755, true), (0o700, true), (0o775, false), (0o757, false), (0o1777, false)])
  func `follows to no directory that others may write`(mode: Int, isFollowed: Bool) throws {
    let scratch = try Scratch()
    try makeChain(in: scratch)
    try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: scratch.path("1"))
    let first = try identity("1", in: scratch)
    #expect(try follow("2", in: scratch) == (isFollowed ? first : .failed(.refused)))
    #expect(try follow("2", in: scratch, trust: Trust(everybody: true)) == first)
  }

  /// Where every user has a group of their own, directories are writable for it; and in a sticky directory nobody takes
  /// away what is another's.
  @Test func `an ordinary user follows their own`() async throws {
    await #expect(processExitsWith: .success) {
      let scratch = try Scratch()
      for name in ["1", "2"] { try scratch.makeDirectory(name, mode: 0o775) }
      try scratch.makeDirectory("open", mode: 0o777)
      try scratch.link("2/parent", to: "../1")
      try scratch.makeDirectory("3")
      try scratch.link("3/parent", to: "../open")
      for name in ["", "1", "2", "2/parent", "open", "3", "3/parent"] { try scratch.give(name, to: 70_000) }
      precondition(setegid(70_000) == 0 && seteuid(70_000) == 0)
      defer { precondition(seteuid(0) == 0 && setegid(0) == 0) }
      _ = try DirectoryHandle(path: scratch.path("2")).follow("parent", trust: Trust())
      do {
        _ = try DirectoryHandle(path: scratch.path("3")).follow("parent", trust: Trust())
        preconditionFailure("a directory is followed to that everybody may write")
      } catch {}
    }
  }

  @Test(arguments: [0, ENOSYS, EPERM]) func `follows no link on the way`(fault: Int32) async throws {
    await #expect(processExitsWith: .success) { [fault] in
      let scratch = try Scratch()
      try scratch.makeDirectory("real/1")
      try scratch.makeDirectory("2")
      try scratch.makeDirectory("3")
      try scratch.makeDirectory("4")
      try scratch.link("way", to: "real")
      try scratch.link("2/parent", to: "../way/1")
      try scratch.link("3/parent", to: "../real/1")
      try scratch.link("4/parent", to: "/proc/self/cwd")
      let two = try DirectoryHandle(path: scratch.path("2"))
      let three = try DirectoryHandle(path: scratch.path("3"))
      let four = try DirectoryHandle(path: scratch.path("4"))
      Openat2.fail(with: fault)
      func isFollowed(_ directory: borrowing DirectoryHandle) -> Bool {
        do throws(SystemError) {
          return try directory.follow("parent", trust: Trust()) != nil
        } catch {
          return false
        }
      }
      precondition(!isFollowed(two), "a link on the way is followed")
      precondition(isFollowed(three), "a way without links is not gone")
      precondition(!isFollowed(four), "a magic link is followed")
    }
  }

  @Test(arguments: [Oddity.fifo, .device, .socket, .directory])
  func `what is no link is not followed`(oddity: Oddity) throws {
    let scratch = try Scratch()
    try oddity.make("parent", in: scratch)
    #expect(try follow("", in: scratch) == .failed(.refused))
  }

  @Test func `a loop of links ends`() throws {
    let scratch = try Scratch()
    try scratch.link("parent", to: "parent")
    #expect(try follow("", in: scratch) == .failed(.refused))
  }
}
