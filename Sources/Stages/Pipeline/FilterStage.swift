internal import CSluiceLinux
internal import SluicePipeline

/// The stage between reading and writing: puts chunks into order, and has a filter change them. It has a thread of its own.
actor FilterStage {
  private nonisolated let executor: ThreadExecutor
  private let filter: any PageFilter
  private let source: any PageSource
  private let input: ChunkChannel
  private let output: ChunkChannel
  private let capacity: Int
  private let gate: StageGate?
  /// Pages that were read and left to the parent, which has the same.
  private var leftToParent: [PageOwner: UInt64] = [:]

  nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe executor.asUnownedSerialExecutor() }
  nonisolated var taskExecutor: any TaskExecutor { executor }

  /// - Parameters:
  ///   - capacity: how many chunks there are at once, at most.
  ///   - gate: what this stage waits for before it takes anything; nil where it begins at once.
  init(
    filter: any PageFilter, source: any PageSource, input: ChunkChannel, output: ChunkChannel, capacity: Int,
    gate: StageGate? = nil, executor: ThreadExecutor
  ) {
    self.gate = gate
    self.filter = filter
    self.source = source
    self.input = input
    self.output = output
    self.capacity = capacity
    self.executor = executor
  }

  /// Passes messages on until there are no more, then finishes the sink's channel.
  ///
  /// - Returns: pages that were left to the parent.
  func run() async throws(SluiceError) -> [PageOwner: UInt64] {
    await gate?.wait()
    var order = PageOrder(capacity: capacity)
    while let message = try await nextMessage() {
      guard !Task.isCancelled else { throw .cancelled }
      order.insert(message)
      while let next = order.removeNext() {
        guard await output.send(try await filtered(next)) == nil else { throw .cancelled }
      }
    }
    guard !Task.isCancelled else { throw .cancelled }
    output.finish()
    return leftToParent
  }

  private func nextMessage() async throws(SluiceError) -> PageMessage? {
    if let message = try input.receiveIfAny() { return message }
    // As a reader does.
    output.flush()
    return try await input.receive()
  }

  private func filtered(_ message: consuming PageMessage) async throws(SluiceError) -> PageMessage {
    switch consume message {
    case .begin(let owner, let position):
      try await embedders { try await filter.begin(owner) }
      return .begin(owner, before: position)
    case .chunk(var chunk):
      let left = try await embedders { try await filter.change(&chunk) }
      leftToParent[chunk.owner, default: 0] += UInt64(left)
      return .chunk(chunk)
    case .end(let owner, let position):
      let failure = source.failure(of: owner)
      try await embedders { try await filter.end(owner, failure: failure) }
      return .end(owner, before: position)
    }
  }
}
