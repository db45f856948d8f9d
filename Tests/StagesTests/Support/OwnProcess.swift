import Foundation
import SluicePipeline
import SluiceTestSupport

/// For tests that have a process to themselves (exit tests), of which nothing is told when they fail.
enum OwnProcess {
  /// Runs `body`, writes what it returns or throws to a file, and ends this process if it throws.
  static func report(to path: String, _ body: (Watchdog) async throws -> some CustomStringConvertible) async {
    // The word of a trap, which nobody would hear.
    let errors = unsafe open("\(path).errors", O_WRONLY | O_CREAT | O_CLOEXEC, 0o600)
    if errors >= 0 { dup2(errors, STDERR_FILENO) }
    do {
      let text = "\(try await body(Watchdog(reportingTo: path)))"
      try text.write(toFile: path, atomically: false, encoding: .utf8)
    } catch {
      try? "\(error)".write(toFile: path, atomically: false, encoding: .utf8)
      exit(EXIT_FAILURE)
    }
  }

  /// What such a process has written.
  static func reported(at path: String) -> String {
    let text = (try? String(contentsOfFile: path, encoding: .utf8)) ?? "no report"
    let errors = (try? String(contentsOfFile: "\(path).errors", encoding: .utf8)) ?? ""
    return text + errors
  }
}

/// Ends the process with a word about what hangs.
final class Watchdog: Sendable {
  private struct State {
    var name: String?
    var since = ContinuousClock.now
  }

  private let state = Locked(State())
  private let path: String

  init(reportingTo path: String) {
    self.path = path
    Thread.detachNewThread { [state] in
      while true {
        sleep(1)
        let hung = state.withLock { $0.since + .seconds(60) < .now ? $0.name : nil }
        if let hung {
          let threads = StagesTests.threadNames().joined(separator: " ")
          try? "it hangs: \(hung); threads: \(threads)".write(
            toFile: path, atomically: false, encoding: .utf8)
          _exit(1)
        }
      }
    }
  }

  /// - Parameter name: what runs from now on; nil for nothing.
  func watch(_ name: String?) {
    // Should it crash, this is what is left to be read.
    if let name { try? "it crashed: \(name)".write(toFile: path, atomically: false, encoding: .utf8) }
    state.withLock { $0 = State(name: name) }
  }
}
