import Glibc
import SluiceTestSupport

@testable import SluicePipeline

/// Looks, on a thread of its own, at the processors that each thread of this process may run on, again and again.
final class AffinityWatch: Sendable {
  /// The threads that are kept on fewer processors than the process.
  struct Seen {
    /// The names of those that should be: their names begin with "model-".
    var pinned: Set<String> = []
    /// The others, with their processors.
    var strangers: Set<String> = []
  }

  private struct State {
    var seen = Seen()
    var isStopped = false
  }

  private let state = Locked(State())
  private let thread = NamedThread(name: "watch")

  /// Begins to look.
  ///
  /// - Throws: `TestFailure` when this process has but one processor, and nothing could be seen.
  init() throws {
    let all = Kernel.allowedProcessors(threadID: Int(getpid())) ?? ""
    guard all != "0" else { throw TestFailure("this machine has but one processor") }
    thread.begin { [state] in
      while !state.withLock({ $0.isStopped }) {
        let now = Self.look(all)
        state.withLock { state in
          state.seen.pinned.formUnion(now.pinned)
          state.seen.strangers.formUnion(now.strangers)
        }
      }
    }
  }

  var seen: Seen { state.withLock { $0.seen } }

  /// - Returns: all that was seen.
  func stop() -> Seen {
    state.withLock { $0.isStopped = true }
    thread.join()
    return seen
  }

  private static func look(_ all: String) -> Seen {
    Kernel.threadIDs.reduce(into: Seen()) { seen, id in
      guard let allowed = Kernel.allowedProcessors(threadID: id), allowed != all else { return }
      // Only now: a thread of ours has its own name before it has its own processors.
      guard let name = Kernel.threadName(id: id) else { return }
      if name.hasPrefix("model-") {
        seen.pinned.insert(name)
      } else {
        seen.strangers.insert("\(name): \(allowed)")
      }
    }
  }
}
