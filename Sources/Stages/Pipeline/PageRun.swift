internal import CSluiceLinux

/// Pages that are next to each other in the memory of a process.
public struct PageRun: Hashable, Sendable {
  /// Where the first page begins.
  public var address: UInt64
  /// The length of all in bytes: whole pages.
  public var byteCount: UInt64

  /// The pages from `address` on. Nothing is checked here: whoever takes a run refuses one that is not of whole pages.
  public init(address: UInt64, byteCount: UInt64) {
    self.address = address
    self.byteCount = byteCount
  }

  /// The first address behind them; the highest there is for a run that would end behind it.
  public var end: UInt64 {
    let (end, isTooFar) = address.addingReportingOverflow(byteCount)
    return isTooFar ? .max : end
  }

  /// Whether these are whole pages of the address space.
  func isWholePages(of pageSize: UInt64) -> Bool {
    address % pageSize == 0 && byteCount % pageSize == 0
      && !address.addingReportingOverflow(byteCount).overflow
  }

  init(_ run: MemoryRun) {
    self.init(address: run.address, byteCount: run.length)
  }

  var memoryRun: MemoryRun { MemoryRun(address: address, length: byteCount) }
}
