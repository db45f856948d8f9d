import Dispatch
import Glibc
import Sluice
import Synchronization

/// Runs work that SIGINT, SIGTERM and SIGHUP cancel. A second signal ends the program on the spot: what is
/// left then has no inventory.img, so it does not look finished.
struct SignalCancellation {
  private static let signals = [SIGINT, SIGTERM, SIGHUP]

  /// - Returns: what the work came to, and the signal that cancelled it, if one did.
  static func run<Success: Sendable>(
    _ work: @escaping @Sendable () async throws(PreDumpError) -> Success
  ) async -> (result: Result<Success, PreDumpError>, signal: Int32?) {
    let received = Received()
    let task = Task { () -> Result<Success, PreDumpError> in
      do throws(PreDumpError) { return .success(try await work()) } catch { return .failure(error) }
    }
    let sources = signals.map { number in
      // A source only watches: the default action would still end us.
      _ = signal(number, SIG_IGN)
      let source = DispatchSource.makeSignalSource(signal: number)
      source.setEventHandler {
        guard received.isFirst(number) else { _exit(128 + number) }
        Terminal.message("sluice: stopping (once more to stop at once)")
        task.cancel()
      }
      source.resume()
      return source
    }
    let result = await task.value
    for source in sources { source.cancel() }
    return (result, received.signal)
  }

  /// The first signal that came.
  private final class Received: Sendable {
    private let number = Atomic<Int32>(0)

    func isFirst(_ signal: Int32) -> Bool {
      number.compareExchange(expected: 0, desired: signal, ordering: .sequentiallyConsistent).exchanged
    }

    var signal: Int32? {
      let number = number.load(ordering: .sequentiallyConsistent)
      return number == 0 ? nil : number
    }
  }
}
