internal import CSluiceLinux
internal import SluicePipeline
internal import Synchronization

/// How far a pre-dump, or a chain of rounds, has come.
public struct PreDumpProgress: Hashable, Sendable {
  /// What is being done.
  public enum Phase: String, Hashable, Sendable, Codable {
    /// Nothing was done to a process yet, or it is found out what was written.
    case preparing
    /// Memory is copied while the processes run.
    case copying
    /// Memory is copied while the processes stand still.
    case stopped
    /// Everything was copied; files go to the disk and are made valid.
    case publishing
    /// The pre-dump, or the round, has ended, well or not.
    case ended
  }

  /// What is being done.
  public var phase: Phase
  /// The number of the round, from 1; nil where there is but one.
  public var round: Int?
  /// Bytes that were written, or are about to be; and those that were read and found to be the parent's already. Of this
  /// round.
  public var bytesWritten: UInt64
  /// Bytes that will be written in this round, as far as that is known: in a first round, and where contents are compared,
  /// the memory that the kernel counts as the process' own. In a round that builds on another it is not known before the
  /// written pages were found, and is as much as `bytesWritten`; so it is in every round from `publishing` on.
  public var bytesExpected: UInt64
  /// Since the round began.
  public var elapsed: Duration
  /// How often the round was begun, as `PreDumpReport.tries`.
  public var tries = 1
}

/// The newest state of a pre-dump or of rounds, for those who look at it now and then: each element is the state of its
/// moment (ten a second, and one at each change of phase), and what somebody did not look at in time is left out for him. It ends when the pre-dump, or the last round,
/// does. Any number of tasks may iterate over it.
public final class ProgressFeed: AsyncSequence, Sendable {
  /// The states.
  public typealias AsyncIterator = AsyncStream<PreDumpProgress>.Iterator

  private struct State: Sendable {
    var phase = PreDumpProgress.Phase.preparing
    var round: Int?
    var tries = 1
    var expected: UInt64 = 0
    var began: UInt64 = sluice_monotonic_nanoseconds()
    var isFinished = false
    var watchers: [Int: AsyncStream<PreDumpProgress>.Continuation] = [:]
    var lastWatcher = 0
  }

  private let written = Atomic<UInt64>(0)
  private let state = Locked(State())

  /// A feed that nothing has begun on. It serves one run, or the rounds of one scope.
  public init() {}

  /// Iterates over states as they come; the first is that of this moment.
  public func makeAsyncIterator() -> AsyncIterator {
    let (stream, continuation) = AsyncStream.makeStream(
      of: PreDumpProgress.self, bufferingPolicy: .bufferingNewest(1))
    let number = state.withLock { state -> Int? in
      guard !state.isFinished else { return nil }
      state.lastWatcher += 1
      state.watchers[state.lastWatcher] = continuation
      return state.lastWatcher
    }
    if let number {
      continuation.onTermination = { [weak self] _ in self?.forget(number) }
      continuation.yield(newest)
    } else {
      continuation.finish()
    }
    return stream.makeAsyncIterator()
  }

  private func forget(_ number: Int) {
    state.withLock { _ = $0.watchers.removeValue(forKey: number) }
  }

  /// A round begins.
  func begin(round: Int?, tries: Int) {
    written.store(0, ordering: .relaxed)
    state.withLock { state in
      (state.phase, state.round, state.tries) = (.preparing, round, tries)
      (state.expected, state.began) = (0, sluice_monotonic_nanoseconds())
    }
    publish()
  }

  /// So many bytes will be written, as far as can be told.
  func expect(_ bytes: UInt64) { state.withLock { $0.expected = bytes } }

  /// Another phase begins.
  func enter(_ phase: PreDumpProgress.Phase) {
    let written = written.load(ordering: .relaxed)
    state.withLock { state in
      state.phase = phase
      // All is copied, whether or not as much as the kernel had counted.
      if phase == .publishing { state.expected = written }
    }
    publish()
  }

  func add(written bytes: Int) {
    written.add(UInt64(bytes), ordering: .relaxed)
  }

  private var newest: PreDumpProgress {
    let bytesWritten = written.load(ordering: .relaxed)
    return state.withLock { state in
      PreDumpProgress(
        phase: state.phase, round: state.round, bytesWritten: bytesWritten,
        bytesExpected: Swift.max(state.expected, bytesWritten),
        elapsed: .nanoseconds(counted: sluice_monotonic_nanoseconds() - state.began), tries: state.tries)
    }
  }

  /// Passes the state of this moment on.
  func publish() {
    let newest = newest
    for watcher in state.withLock({ Array($0.watchers.values) }) { watcher.yield(newest) }
  }

  func finish() {
    let watchers = state.withLock { state in
      state.isFinished = true
      defer { state.watchers = [:] }
      return Array(state.watchers.values)
    }
    for watcher in watchers { watcher.finish() }
  }
}
