internal import SluicePipeline

/// Puts messages into order: chunks come out of it where there are several readers.
///
/// It holds no more chunks than the ring has buffers, since each holds one: so a chunk that is early finds its place,
/// unless one before it was lost with a reader that failed. Of the other messages it holds two for each process at most.
struct PageOrder: ~Copyable {
  private var chunks: ReorderBuffer<PageChunk>
  /// The others, in order: they come from one source.
  private var marks: [Mark] = []

  private enum Mark {
    case begin(PageOwner, before: UInt64)
    case end(PageOwner, before: UInt64)

    var position: UInt64 {
      switch self {
      case .begin(_, let position), .end(_, let position): position
      }
    }

    var message: PageMessage {
      switch self {
      case .begin(let owner, let position): .begin(owner, before: position)
      case .end(let owner, let position): .end(owner, before: position)
      }
    }
  }

  /// - Parameter capacity: how many chunks there are at once, at most.
  init(capacity: Int) {
    chunks = ReorderBuffer(capacity: capacity)
  }

  /// How many chunks have left, in order.
  var chunksRemoved: UInt64 { chunks.removedCount }

  /// Takes a message. A chunk behind one that was lost with its reader is dropped, and its buffer goes back.
  mutating func insert(_ message: consuming PageMessage) {
    switch consume message {
    case .begin(let owner, let position): marks.append(.begin(owner, before: position))
    case .end(let owner, let position): marks.append(.end(owner, before: position))
    case .chunk(let chunk):
      let sequence = chunk.sequence
      guard chunks.hasRoom(for: sequence) else { return }
      chunks.insert(chunk, sequence: sequence)
    }
  }

  /// The next message in order, if it has come.
  mutating func removeNext() -> PageMessage? {
    if let mark = marks.first, mark.position == chunks.removedCount {
      marks.removeFirst()
      return mark.message
    }
    guard let chunk = chunks.removeNext() else { return nil }
    return .chunk(chunk)
  }
}
