public import CSluiceLinux

/// Pages that a scan has found.
public struct ScannedRun: Sendable {
  /// Where they are.
  public var run: MemoryRun
  /// Whether they are copied whatever else is known of them: they were written, or they are the huge zero page,
  /// which replaces other content without a trace of it in the dirty bits.
  public var mustCopy: Bool
  /// Whether the next round is to copy them as well: a device may still be writing them, which nothing tells.
  public var isUnsettled = false
}
