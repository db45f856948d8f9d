import Foundation
import Glibc
import Synchronization
import Testing

@testable import SluiceImages

/// That a file has its name only after its bytes are on the disk is seen in no directory: strace tells the
/// order of the system calls. Tracing a thread that is not one's child needs root.
@Suite(.enabled(if: geteuid() == 0, "tracing a thread of the test's own process needs root"))
struct PublishingOrderTests {
  @Test func `everything is on the disk before it has its name, and all names at the end`() throws {
    let directory = try TemporaryDirectory()
    let path = "\(directory.path)/images"
    let calls = try TracedThread.calls(
      ["fsync", "fdatasync", "rename", "renameat", "renameat2"], output: "\(directory.path)/trace"
    ) { ready in
      var images = try UnfinishedImages.create(at: path)
      try images.createPages().write([1])
      _ = try images.createPagemap(pid: 1)
      ready()
      try images.publish()
    }
    // strace writes the paths that descriptors stand for.
    #expect(
      calls.map { $0.replacing(path, with: "") } == [
        "fsync /pages-1.img.partial", "fsync /pagemap-1.img.partial", "fsync /stats-dump.partial",
        "renameat pages-1.img", "renameat pagemap-1.img", "renameat stats-dump",
        "fsync /inventory.img.partial",
        "renameat inventory.img",
        "fsync ",
      ])
  }
}

/// A thread that strace looks at. With its end strace ends too: no other test is looked at, and no signal is
/// needed, which the threads of a pool keep from their children.
private final class TracedThread: Sendable {
  private let isReady = DispatchSemaphore(value: 0)
  private let state = Mutex(State())

  private struct State {
    var id = ""
    var isTraced = false
    var error: (any Error)?
  }

  /// What `body` calls of these system calls once it has said that it is ready, such as
  /// "fsync /images/pages-1.img.partial" and "renameat pages-1.img", by the new name.
  static func calls(
    _ names: [String], output: String, of body: @escaping @Sendable (_ ready: () -> Void) throws -> Void
  ) throws -> [String] {
    let traced = TracedThread()
    Thread { traced.run(body) }.start()
    traced.isReady.wait()
    let id = traced.state.withLock { $0.id }
    let strace = Process()
    strace.executableURL = URL(filePath: "/usr/bin/env")
    strace.arguments =
      ["strace", "-qq", "-y", "-e", "trace=" + names.joined(separator: ","), "-o", output, "-p", id]
    try strace.run()
    while strace.isRunning, (try? Data(contentsOf: URL(filePath: output)))?.isEmpty ?? true {}
    traced.state.withLock { $0.isTraced = true }
    strace.waitUntilExit()
    if let error = traced.state.withLock({ $0.error }) { throw error }
    guard strace.terminationStatus == 0 else {
      throw Command.Failed(description: "strace ended with \(strace.terminationStatus): is it installed?")
    }
    return try String(contentsOfFile: output, encoding: .utf8).split(separator: "\n").compactMap(call)
  }

  private func run(_ body: (_ ready: () -> Void) throws -> Void) {
    do {
      let link = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/thread-self")
      state.withLock { $0.id = String(link.drop { $0 != "/" }.dropFirst("/task/".count)) }
      try body {
        isReady.signal()
        // strace has something to see, until it does: a call that fails and so is not counted.
        while !state.withLock({ $0.isTraced }) { _ = unsafe rename("", "") }
      }
    } catch {
      state.withLock { $0.error = error }
      isReady.signal()
    }
  }

  /// A call from its line, such as `renameat(3</images>, "a.partial", 3</images>, "a") = 0`.
  private static func call(line: Substring) -> String? {
    guard let name = line.firstMatch(of: /^(\w+)\(/)?.output.1, line.hasSuffix(" = 0") else { return nil }
    let object =
      name == "fsync"
      ? line.firstMatch(of: /<([^>]*)>/)?.output.1 : line.matches(of: /"([^"]*)"/).last?.output.1
    return "\(name) \(object ?? "")"
  }
}
