internal import CSluiceLinux
internal import SluiceImages
internal import SluicePipeline

/// One of the pagemaps of a chain that becomes a single directory.
struct ChainTask: OutputTask {
  let index: Int
  let pagemapName: String
  let pagesID: UInt32
  let hasFailed = false
}

/// Reads the pages of a chain of images, from whichever directory has them, into buffers for the writer.
///
/// It has a thread of its own, because reading files blocks.
actor ChainReader {
  private nonisolated let executor: ThreadExecutor
  private let chain: ImageChain
  private let tasks: [ChainTask]
  private let ring: BufferRing
  private let chunks: ChunkChannel
  private var sequence: UInt64 = 0
  private var open: PageBuffer?

  nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe executor.asUnownedSerialExecutor() }
  nonisolated var taskExecutor: any TaskExecutor { executor }

  init(
    chain: ImageChain, tasks: [ChainTask], ring: BufferRing, chunks: ChunkChannel, executor: ThreadExecutor
  ) {
    self.chain = chain
    self.tasks = tasks
    self.ring = ring
    self.chunks = chunks
    self.executor = executor
  }

  /// Reads all pages of all tasks, then finishes the channel.
  func run() async throws(SluiceError) {
    for task in tasks {
      let pagemap = try onImages { () throws(ImagesError) in
        try ChainPagemap(name: task.pagemapName, in: chain)
      }
      while let run = try onImages({ () throws(ImagesError) in try pagemap.next() }) {
        try await read(run, of: pagemap, task)
      }
      try await openBuffer()
      try await send(task, endsTask: true)
    }
    chunks.finish()
  }

  private func read(_ run: PagemapRun, of pagemap: ChainPagemap, _ task: ChainTask) async throws(SluiceError)
  {
    let end = run.address + run.pageCount * UInt64(ring.layout.pageSize)
    var position = run.address
    while position < end {
      let place = try onImages { () throws(ImagesError) in try pagemap.place(of: position..<end) }
      try await read(from: position, place, of: pagemap, task)
      position = place.end
    }
  }

  private func read(
    from start: UInt64, _ place: ChainPagemap.Place, of pagemap: ChainPagemap, _ task: ChainTask
  ) async throws(SluiceError) {
    var position = start
    while position < place.end {
      guard !Task.isCancelled else { throw .cancelled }
      try await openBuffer()
      let used = open?.byteCount ?? 0
      let added = open?.append(MemoryRun(address: position, length: place.end - position)) ?? 0
      if added == 0 {
        try await send(task)
        continue
      }
      let part = ChainPagemap.Place(
        level: place.level, offset: place.offset + (position - start), end: position + added)
      try fill(used..<used + Int(added), with: part, of: pagemap)
      position += added
    }
  }

  private func fill(
    _ bytes: Range<Int>, with place: ChainPagemap.Place, of pagemap: ChainPagemap
  ) throws(SluiceError) {
    guard let room = unsafe open?.bytes else { return }
    do throws(ImagesError) {
      unsafe try pagemap.read(place, into: UnsafeMutableRawBufferPointer(rebasing: room[bytes]))
    } catch {
      throw SluiceError(error)
    }
  }

  private func openBuffer() async throws(SluiceError) {
    guard open == nil else { return }
    open = await ring.take()
    guard open != nil else { throw .cancelled }
  }

  private func send(_ task: ChainTask, endsTask: Bool = false) async throws(SluiceError) {
    guard let buffer = open.take() else { return }
    let data = NonZeroExtents(of: buffer, pageSize: ring.layout.pageSize)
    let refused = await chunks.send(
      FilledChunk(sequence: sequence, task: task.index, endsTask: endsTask, buffer: buffer, data: data))
    guard refused == nil else { throw .cancelled }
    sequence += 1
  }
}
