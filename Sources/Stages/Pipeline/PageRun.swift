internal import CSluiceLinux

/// Pages that are next to each other in the memory of a process.
public struct PageRun: Hashable, Sendable {
  /// Where the first page begins.
  public var address: UInt64
  /// The length of all in bytes: whole pages.
  public var byteCount: UInt64

  /// The pages from `address` on.
  public init(address: UInt64, byteCount: UInt64) {
    self.address = address
    self.byteCount = byteCount
  }

  /// The first address behind them.
  public var end: UInt64 { address + byteCount }

  init(_ run: MemoryRun) {
    self.init(address: run.address, byteCount: run.length)
  }

  var memoryRun: MemoryRun { MemoryRun(address: address, length: byteCount) }
}
