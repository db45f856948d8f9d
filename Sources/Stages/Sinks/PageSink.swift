internal import SluiceImages

/// Where pages go: images, a page server, a core file, object storage, or wherever a program wants them.
///
/// A run calls `begin` for each process, `write` for its chunks in address order, `end` for the process, then the same
/// for the next one; one call at a time. At last it calls `commit`, or `abort` where anything went wrong. A new sink
/// is one type: no stage has to know it.
public protocol PageSink: Sendable {
  /// How the sink wants its chunks. A run asks once, before anything is done to a process.
  var limits: SinkLimits { get }

  /// Where the sink works. Whoever hands it chunks works there too, so that this costs no change of threads. Nil, as it is
  /// unless the sink says otherwise, for a thread of the runtime.
  var executor: (any SinkExecutor)? { get }

  /// The memory of another process begins.
  ///
  /// - Parameters:
  ///   - owner: the process.
  ///   - expectedBytes: how much is written of it, as far as can be told; 0 where it cannot.
  /// - Throws: any error, which ends the run.
  func begin(_ owner: PageOwner, expectedBytes: UInt64) async throws

  /// Takes a chunk of the process. The call may return before the bytes are where they belong; the sink then keeps the
  /// chunk until they are. As long as it keeps chunks, no more of the budget is free for others.
  ///
  /// - Throws: any error, of this chunk or an earlier one. It ends the run.
  func write(_ chunk: consuming PageChunk) async throws

  /// All chunks of the process were written.
  ///
  /// - Parameters:
  ///   - owner: the process.
  ///   - failure: why its memory is not complete, and to be given up; nil where it is complete.
  /// - Throws: any error, which ends the run.
  func end(_ owner: PageOwner, failure: SluiceError?) async throws

  /// Everything was written: makes it valid, at once or not at all.
  ///
  /// - Throws: any error. The run calls `abort` then.
  func commit(_ manifest: RunManifest) async throws

  /// Gives up what was written, and lets go of all chunks. The run has failed, or was cancelled.
  func abort() async
}

/// A serial executor that tasks can prefer: `PageSink.executor`.
public typealias SinkExecutor = SerialExecutor & TaskExecutor

extension PageSink {
  /// A thread of the runtime.
  public var executor: (any SinkExecutor)? { nil }
}

/// How a sink wants its chunks: buffers are laid out by it.
public struct SinkLimits: Hashable, Sendable {
  /// The bytes that a chunk has best; it has fewer where the budget is small. Nil for 1 MiB, which is large enough that
  /// the cost of handing a chunk on does not show, and small enough for a processor's cache.
  public var preferredChunkBytes: Int?
  /// How many chunks the sink keeps at once, at most; nil for as many as the budget has buffers.
  public var mostChunks: Int?
  /// Whether what is written is memory itself (a tmpfs): then a few buffers do.
  public var isMemory = false
  /// Whether the buffer of each chunk comes back without another chunk being written: it is no others that the sink waits for.
  var keepsNothing = false

  /// Limits that suit a sink which says nothing.
  public init() {}

  /// Makes sure that they can be meant, before anything is done to anybody.
  ///
  /// - Throws: `SluiceError` with `invalidArgument`.
  func check() throws(SluiceError) {
    if let preferredChunkBytes, preferredChunkBytes < 1 {
      throw SluiceError(
        .invalidArgument,
        "a sink's chunks have a byte at least (preferredChunkBytes), not \(preferredChunkBytes)")
    }
    if let mostChunks, mostChunks < 1 {
      throw SluiceError(
        .invalidArgument, "a sink takes one chunk at once at least (mostChunks), not \(mostChunks)")
    }
  }

  /// Those of a sink whose buffers come back by themselves.
  static var keepingNothing: SinkLimits {
    var limits = SinkLimits()
    limits.keepsNothing = true
    return limits
  }
}

/// What a run has copied, when all of it is written.
public struct RunManifest: Sendable {
  /// A process that was copied.
  public struct Entry: Hashable, Sendable {
    /// The process.
    public let owner: PageOwner
    /// Pages that were written.
    public let pagesWritten: UInt64
    /// Why what was written of it is not valid after all; nil where it is valid.
    public let failure: String?
  }

  /// The processes, in the order in which they began.
  public let entries: [Entry]
  /// The size of a page in bytes.
  public let pageSize: Int
  /// What makes images valid; nil where no images are made.
  let images: ImagesManifest?

  /// Since when it is tracked what the processes write, in microseconds since the machine started: `MakeImages` needs it for
  /// images that CRIU's final dump can build on. Nil where that cannot be.
  public var trackedSince: UInt64? {
    guard case .dump(let inventory, _, let tracked, _) = images, tracked != nil else { return nil }
    return inventory.dumpUptime
  }
}
