/// Keeps a file that is written through the page cache from filling it: what is written is sent to the
/// disk at once, and dropped when it is there.
public struct WritebackWindow: Hashable, Sendable {
  /// What is to be done now, in this order.
  public struct Action: Hashable, Sendable {
    /// Send this range to the disk, without waiting.
    public var start: Range<UInt64>?
    /// Wait until this range is on the disk, and drop it.
    public var finish: Range<UInt64>?
  }

  /// So much is sent at once: large enough for the disk, and the cache holds two of them.
  private static let stepBytes: UInt64 = 8 << 20

  private var started: UInt64 = 0
  private var finished: UInt64 = 0

  /// A file of which nothing is written.
  public init() {}

  /// Everything below `offset` is written.
  public mutating func advance(to offset: UInt64) -> Action {
    var action = Action()
    guard offset >= started + Self.stepBytes else { return action }
    if finished < started { action.finish = finished..<started }
    action.start = started..<offset
    finished = started
    started = offset
    return action
  }

  /// The file ends at `offset`, and all of it is on the disk.
  public func rest(to offset: UInt64) -> Range<UInt64> {
    finished..<max(finished, offset)
  }
}
