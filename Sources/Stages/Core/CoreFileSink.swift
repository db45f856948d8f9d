internal import CSluiceLinux
internal import SluiceImages
internal import SluicePipeline

/// Writes the memory of processes into core files, in one round of several: pages that were written before are replaced where
/// they stand. It works on the write engine's own thread.
actor CoreFileSink: PageSink {
  private let files: CoreFiles
  private let engine: any WriteEngine
  private let queueDepth: Int
  private let pageSize: Int
  /// Whether nothing was written before.
  private let isFirst: Bool
  /// Whether what is not written, and was not left as it is, reads as zeros from now on.
  private let isLast: Bool
  private var queue: WriteQueue?
  /// The file of the process that is being written.
  private var file: CoreFile?
  /// Up to where the process's memory was dealt with.
  private var position: UInt64 = 0
  /// How long writing waited because as many writes were in flight as may be.
  private(set) var queueFull = StageWait()

  nonisolated let limits: SinkLimits
  nonisolated var executor: (any SinkExecutor)? { engine.executor }
  nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe engine.unownedExecutor }

  init(
    _ files: CoreFiles, engine: any WriteEngine, queueDepth: Int, pageSize: Int, isFirst: Bool, isLast: Bool
  ) {
    self.files = files
    self.engine = engine
    self.queueDepth = queueDepth
    self.pageSize = pageSize
    self.isFirst = isFirst
    self.isLast = isLast
    limits = files.limits
  }

  func begin(_ owner: PageOwner, expectedBytes: UInt64) throws(SluiceError) {
    if queue == nil { queue = WriteQueue(engine: engine, depth: queueDepth, pageSize: pageSize) }
    file = try files.file(of: owner)
    position = 0
  }

  func write(_ chunk: consuming PageChunk) async throws(SluiceError) {
    guard let file, let queue else { throw .cancelled }
    var runs: [PageRun] = []
    chunk.forEachRun { run, _ in runs.append(run) }
    try file.place(runs)
    let extents = file.extents
    let placed = PlacedPages(runs, data: chunk.data.parts, in: extents)
    let kept = chunk.parentRuns
    if isLast, !isFirst { try zeroBetween(runs, and: kept, in: file) }
    if !isFirst {
      for range in placed.zeros { try onImages { () throws(ImagesError) in try file.output.zero(range) } }
    }
    do throws(WriteQueue.Failed) {
      try await queue.write(chunk.buffer, placed: placed.parts, to: file.output.descriptor)
    } catch {
      throw SluiceError(file.output.writeFailed(errno: error.errno))
    }
    guard !file.output.isDirect else { return }
    for part in placed.parts {
      let range = part.fileOffset..<part.fileOffset + UInt64(part.count)
      try onImages { () throws(ImagesError) in try file.output.startWriteback(range) }
    }
  }

  func end(_ owner: PageOwner, failure: SluiceError?) async throws(SluiceError) {
    // A descriptor is not closed while the kernel may yet be told to write to it.
    try await drain()
    queueFull = queue?.full ?? StageWait()
    guard let file else { return }
    if isLast, !isFirst, failure == nil { try file.zero(position..<UInt64.max) }
    self.file = nil
    if failure != nil { files.discard(owner) }
  }

  /// The round is complete. The files get their names when all are.
  func commit(_ manifest: RunManifest) {}

  /// Whatever happened: the kernel reads from the buffers until its last completion has come. The files go with those who
  /// have them.
  func abort() async {
    do throws(SluiceError) { try await drain() } catch {}
    file = nil
    queue = nil
  }

  /// Has what lies between runs, from where the last ones ended, read as zeros: pages that are gone since.
  private func zeroBetween(
    _ runs: [PageRun], and kept: [PageRun], in file: CoreFile
  ) throws(SluiceError) {
    var (written, left) = (runs[...], kept[...])
    while true {
      let next: PageRun
      switch (written.first, left.first) {
      case (nil, nil): return
      case (let run?, nil): next = run
      case (nil, let run?): next = run
      case (let run?, let other?): next = run.address < other.address ? run : other
      }
      if written.first == next { written.removeFirst() } else { left.removeFirst() }
      if next.address > position { try file.zero(position..<next.address) }
      position = max(position, next.end)
    }
  }

  private func drain() async throws(SluiceError) {
    guard let queue else { return }
    do throws(WriteQueue.Failed) { try await queue.drain() } catch {
      throw SluiceError(
        file?.output.writeFailed(errno: error.errno)
          ?? ImagesError(.io, "writing a core file", errno: SystemErrno(code: error.errno)))
    }
  }
}
