/// Keeps pages in memory, outside of the budget: for tests, and for processes that are small.
public actor MemorySink: PageSink {
  /// What was copied of a process.
  public struct Memory: Hashable, Sendable {
    /// The pages that were read, by their addresses.
    public var pages: [UInt64: [UInt8]] = [:]
    /// The runs of pages that an earlier round has.
    public var parentRuns: [PageRun] = []
  }

  /// It is memory.
  public nonisolated let limits: SinkLimits
  /// What was copied of each process; nothing before `commit`.
  public private(set) var memory: [PageOwner: Memory] = [:]
  private var unfinished: [PageOwner: Memory] = [:]

  /// An empty sink.
  public init() {
    var limits = SinkLimits()
    limits.isMemory = true
    self.limits = limits
  }

  /// Begins a process with nothing.
  public func begin(_ owner: PageOwner, expectedBytes: UInt64) {
    unfinished[owner] = Memory()
  }

  /// Copies the chunk's pages.
  public func write(_ chunk: consuming PageChunk) {
    let pageSize = chunk.pageSize
    chunk.forEachRun { run, bytes in
      for offset in stride(from: 0, to: bytes.byteCount, by: pageSize) {
        let page = bytes.extracting(offset..<offset + pageSize)
        unfinished[chunk.owner]?.pages[run.address + UInt64(offset)] = unsafe page.withUnsafeBytes {
          unsafe Array($0)
        }
      }
    }
    unfinished[chunk.owner]?.parentRuns += chunk.parentRuns
  }

  /// Drops what was copied of a process that has failed.
  public func end(_ owner: PageOwner, failure: SluiceError?) {
    if failure != nil { unfinished[owner] = nil }
  }

  /// Shows what was copied, of those processes that it is valid of.
  public func commit(_ manifest: RunManifest) {
    for entry in manifest.entries where entry.failure == nil { memory[entry.owner] = unfinished[entry.owner] }
    unfinished = [:]
  }

  /// Drops everything of this run.
  public func abort() { unfinished = [:] }
}
