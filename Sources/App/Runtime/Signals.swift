import Dispatch
import Glibc
import Sluice
import Synchronization

/// What cancelled work.
enum CancellationCause: Hashable, Sendable {
  case signal(Int32)
  /// It took longer than it may.
  case timeout
}

/// Runs work that SIGINT, SIGTERM and SIGHUP cancel, and the end of its time. A signal a noticeable time after that ends
/// the program on the spot: what is left then has no inventory.img, so it does not look finished.
///
/// Signals of one moment are one: timeout(1) sends its own to the child and then to the child's group, a terminal that is
/// closed sends SIGHUP while the shell sends SIGTERM, a service manager sends both at once.
struct SignalCancellation {
  private static let signals = [SIGINT, SIGTERM, SIGHUP]

  /// - Parameters:
  ///   - isQuiet: whether nothing is said of a first signal.
  ///   - timeout: how long the work may take; nil for as long as it likes.
  ///   - beforeAbruptEnd: what is done when the program ends on the spot.
  /// - Returns: what the work came to, and what cancelled it, if something did.
  static func run<Success: Sendable>(
    isQuiet: Bool = false, timeout: Duration? = nil, beforeAbruptEnd: @escaping @Sendable () -> Void = {},
    _ work: @escaping @Sendable () async throws(SluiceError) -> Success
  ) async -> (result: Result<Success, SluiceError>, cause: CancellationCause?) {
    let received = Received()
    let (watched, watching) = AsyncStream<Void>.makeStream()
    let task = Task { () -> Result<Success, SluiceError> in
      // Not before every signal is watched: one that comes with the first file would end us, or be lost.
      var left = signals.count
      for await _ in watched {
        left -= 1
        if left == 0 { break }
      }
      do throws(SluiceError) { return .success(try await work()) } catch { return .failure(error) }
    }
    let sources = signals.map { number in
      // A source only watches: the default action would still end us.
      _ = signal(number, SIG_IGN)
      let source = DispatchSource.makeSignalSource(signal: number)
      source.setRegistrationHandler { watching.yield() }
      source.setEventHandler {
        switch received.take(number) {
        case .first:
          if !isQuiet {
            Terminal.message(
              "sluice: stopping; send the signal again (Ctrl-C) to stop without cleaning up", level: .notice)
          }
          task.cancel()
        case .same: break
        case .further:
          beforeAbruptEnd()
          _exit(128 + number)
        }
      }
      source.resume()
      return source
    }
    let timer = timeout.map { timeout in
      let timer = DispatchSource.makeTimerSource()
      timer.setEventHandler {
        guard received.take(Received.timeout) == .first else { return }
        Terminal.message(
          "sluice: stopping: the time of --timeout has passed (a signal stops at once)", level: .notice)
        task.cancel()
      }
      timer.schedule(deadline: .now() + (timeout / .seconds(1)))
      timer.resume()
      return timer
    }
    let result = await task.value
    for source in sources { source.cancel() }
    timer?.cancel()
    return (result, received.cause)
  }

  /// Has the signals end the program again as they did before `run`, after which they are ignored.
  static func restoreDefaults() {
    for number in signals { _ = signal(number, SIG_DFL) }
  }

  /// What came first, and when.
  private final class Received: Sendable {
    /// No signal has this number.
    static let timeout: Int32 = -1
    /// Shorter than anybody takes to see that the program is stopping and to send another signal, longer than programs
    /// take between two of theirs on a busy machine.
    private static let moment = Duration.milliseconds(500)

    enum Turn {
      case first
      /// Of the same moment as the first.
      case same
      case further
    }

    private let first = Mutex<(number: Int32, time: ContinuousClock.Instant)?>(nil)

    func take(_ number: Int32) -> Turn {
      first.withLock { first in
        let now = ContinuousClock.now
        guard let former = first else {
          first = (number, now)
          return .first
        }
        return former.time.duration(to: now) < Self.moment ? .same : .further
      }
    }

    var cause: CancellationCause? {
      switch first.withLock({ $0?.number }) {
      case nil: nil
      case Self.timeout?: .timeout
      case let signal?: .signal(signal)
      }
    }
  }
}
