import SluiceTestSupport
import Testing

/// A `sluice pre-dump` that stands still (SIGSTOP) while it copies, so that what is done next is done in the
/// middle for certain.
struct InterruptedPreDump {
  let sluice: Program
  let images: String

  /// Runs `body` with it. It can end before it is stopped: then it is started anew.
  static func run(
    pid: Int32, _ options: [String] = [], _ body: (InterruptedPreDump) async throws -> Void
  ) async throws {
    for _ in 0..<20 {
      let isDone = try await withTemporaryDirectory { directory in
        let images = "\(directory)/images"
        let command = try Command(built: "sluice", ["pre-dump", "-t", "\(pid)", "-D", images] + options)
        return try await withProgram(command) { sluice in
          let partial = "\(images)/pages-1.img.partial"
          guard try await sluice.stop(whenThereIs: partial), fileSize(partial) != nil else { return false }
          try await body(InterruptedPreDump(sluice: sluice, images: images))
          return true
        }
      }
      if isDone { return }
    }
    throw TestFailure("sluice always ended before it could be stopped")
  }

  /// Lets it go on, and waits for its end.
  func goOn() async throws -> CommandResult {
    sluice.resume()
    return try await sluice.result()
  }
}
