internal import SluicePipeline

/// What is to be read next: the runs in the buffer's table, at most as much as the buffer holds.
///
/// The buffer was taken before the plan was handed on. So buffers are held in the order of the plans, the
/// oldest plan always has one, and the pipeline cannot come to a stand with every buffer in the wrong hands.
public struct ReadPlan: ~Copyable, Sendable {
  /// The place of the plan among all of the run, counted from 0.
  let sequence: UInt64
  /// Whose memory.
  public let owner: PageOwner
  var buffer: PageBuffer
  /// Whether its pages may be restored on demand.
  var isLazy = false
  /// What its reader has said that cannot be; nil where nothing.
  var mistake: SluiceError?
  /// Where there are several nodes: the bytes by the nodes that hold them, in the order of `Placement.nodes`; last those of
  /// which it is not known.
  var held: [UInt64] = []
}

/// What goes from the source to the sink.
///
/// Chunks come out of order where there are several readers. The other messages say before which chunk they belong.
enum PageMessage: ~Copyable, Sendable {
  case begin(PageOwner, before: UInt64)
  case chunk(PageChunk)
  case end(PageOwner, before: UInt64)

  /// The bytes of a chunk; nil for other messages.
  var chunkBytes: Int? {
    switch self {
    case .chunk(let chunk): chunk.byteCount
    case .begin: nil
    case .end: nil
    }
  }
}

typealias PlanChannel = BoundedChannel<ReadPlan, SluiceError>
typealias ChunkChannel = BoundedChannel<PageMessage, SluiceError>
