internal import CSluiceLinux
internal import SluicePipeline

/// How fast pages are written, or sent, at most. The limit can be changed while pages are.
///
/// The processes are not held up by it: a round that has stopped them is written as fast as can be.
public final class RateLimit: Sendable {
  private let bucket: Locked<TokenBucket>

  /// A limit in bytes a second; nil for none, until one is set.
  public init(bytesPerSecond: UInt64?) {
    bucket = Locked(TokenBucket(rate: bytesPerSecond, now: sluice_monotonic_nanoseconds()))
  }

  /// The limit in bytes a second; nil for none. Less than one is taken for one. It can be set from any thread.
  public var bytesPerSecond: UInt64? {
    get { bucket.withLock { $0.rate } }
    set { bucket.withLock { $0.set(rate: newValue, now: sluice_monotonic_nanoseconds()) } }
  }

  /// A wait is no longer than this before the limit is looked at again, which may have been changed.
  private static let longestWait: UInt64 = 50_000_000

  /// Waits until bytes may pass, and lets them.
  ///
  /// - Throws: `SluiceError` with `cancelled`.
  func pass(_ byteCount: Int) async throws(SluiceError) {
    while true {
      let wait = bucket.withLock { $0.wait(now: sluice_monotonic_nanoseconds()) }
      guard wait > 0 else { break }
      do { try await Task.sleep(nanoseconds: min(wait, Self.longestWait)) } catch { throw .cancelled }
    }
    _ = bucket.withLock { $0.pass(byteCount, now: sluice_monotonic_nanoseconds()) }
  }
}
