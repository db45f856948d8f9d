internal import CSluiceLinux
internal import Synchronization

/// How far a pre-dump has come.
public struct PreDumpProgress: Hashable, Sendable {
  /// Bytes that were written, or are about to be; and those that were read and found to be the parent's already.
  public var bytesWritten: UInt64
  /// Bytes that will be written, as far as can be told before all of them were found: what the kernel counts
  /// as the process' own memory.
  public var bytesExpected: UInt64
  /// Since the start, in microseconds.
  public var elapsedMicroseconds: UInt64
  /// How often it was begun, as `PreDumpReport.tries`.
  public var tries = 1
}

/// The newest state of a pre-dump, for one who looks at it now and then: each element is the state of its
/// moment, and what nobody looked at in time is left out. It ends when the pre-dump does.
public final class ProgressFeed: AsyncSequence, Sendable {
  /// The states.
  public typealias AsyncIterator = AsyncStream<PreDumpProgress>.Iterator

  private let written = Atomic<UInt64>(0)
  private let expected = Atomic<UInt64>(0)
  private let began = Atomic<UInt64>(0)
  private let tries: Int
  private let stream: AsyncStream<PreDumpProgress>
  private let continuation: AsyncStream<PreDumpProgress>.Continuation

  init(tries: Int = 1) {
    self.tries = tries
    (stream, continuation) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
  }

  /// Iterates over states as they come.
  public func makeAsyncIterator() -> AsyncIterator {
    stream.makeAsyncIterator()
  }

  func start(expecting bytes: UInt64) {
    began.store(sluice_monotonic_nanoseconds(), ordering: .relaxed)
    expected.store(bytes, ordering: .relaxed)
  }

  func add(written bytes: Int) {
    written.add(UInt64(bytes), ordering: .relaxed)
  }

  /// Passes the state of this moment on.
  func publish() {
    let bytesWritten = written.load(ordering: .relaxed)
    continuation.yield(
      PreDumpProgress(
        bytesWritten: bytesWritten,
        bytesExpected: Swift.max(expected.load(ordering: .relaxed), bytesWritten),
        elapsedMicroseconds: (sluice_monotonic_nanoseconds() - began.load(ordering: .relaxed)) / 1000,
        tries: tries))
  }

  func finish() {
    continuation.finish()
  }
}
