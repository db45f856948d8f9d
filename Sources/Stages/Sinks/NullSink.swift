/// Drops what it gets: to measure how fast memory can be read.
public struct NullSink: PageSink {
  /// Any will do.
  public let limits = SinkLimits.keepingNothing

  /// A sink that drops everything.
  public init() {}

  /// Does nothing.
  public func begin(_ owner: PageOwner, expectedBytes: UInt64) async {}

  /// Drops the chunk, whose buffer is free then.
  public func write(_ chunk: consuming PageChunk) async {}

  /// Does nothing.
  public func end(_ owner: PageOwner, failure: SluiceError?) async {}

  /// Does nothing.
  public func commit(_ manifest: RunManifest) async {}

  /// Does nothing.
  public func abort() async {}
}
