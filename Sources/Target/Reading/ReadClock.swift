internal import Synchronization

/// Tells a watchdog whether a reader is in a read, and in which.
///
/// A read can wait without end for somebody else: a userfaultfd whose owner does not answer, a filesystem whose server
/// is gone.
public final class ReadClock: Sendable {
  /// A read that is under way.
  public struct Call: Hashable, Sendable {
    fileprivate let number: UInt64
    /// Where it began.
    public let address: UInt64
  }

  /// Odd while a read is under way.
  private let number = Atomic<UInt64>(0)
  private let address = Atomic<UInt64>(0)

  /// Nothing is read yet.
  public init() {}

  func began(at address: UInt64) {
    self.address.store(address, ordering: .relaxed)
    number.add(1, ordering: .releasing)
  }

  func ended() {
    number.add(1, ordering: .releasing)
  }

  /// The read that is under way; nil when there is none.
  public var callUnderWay: Call? {
    let number = number.load(ordering: .acquiring)
    return number % 2 == 1 ? Call(number: number, address: address.load(ordering: .relaxed)) : nil
  }
}
