internal import CSluiceLinux
internal import SluiceImages
internal import SluicePipeline

/// The last stage: writes what was read to the pages file, and what it is to the pagemap, on a thread of
/// its own.
actor ImageWriter {
  /// What was written.
  struct Counts: Sendable {
    var pagesWritten: UInt64 = 0
    var bytesWritten: UInt64 = 0
    /// Time spent in writing, in nanoseconds.
    var writingNanoseconds: UInt64 = 0
  }

  private nonisolated let executor: ThreadExecutor
  private let pageSize: UInt64
  private let chunks: ChunkChannel
  private var images: UnfinishedImages?
  private let pages: OutputFile
  private var pagemap: PagemapImageWriter
  private var counts = Counts()

  nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe executor.asUnownedSerialExecutor() }

  /// - Throws: `PreDumpError` when the files cannot be created.
  init(
    images: consuming UnfinishedImages, namespacePid: Int32, pageSize: UInt64, chunks: ChunkChannel,
    executor: ThreadExecutor
  ) throws(PreDumpError) {
    // The first pages file of a directory has number 1, as CRIU counts them.
    let pagesID: UInt32 = 1
    var images = images
    let (pages, file) = try onImages { () throws(ImagesError) in
      (try images.createPagesFile(id: pagesID), try images.createPagemap(pid: namespacePid))
    }
    self.pages = pages
    pagemap = try onImages { () throws(ImagesError) in
      try PagemapImageWriter(file: file, pagesID: pagesID, pageSize: pageSize)
    }
    self.images = consume images
    self.pageSize = pageSize
    self.chunks = chunks
    self.executor = executor
  }

  /// Writes chunks until there are no more.
  func run() async throws(PreDumpError) -> Counts {
    while let chunk = try await chunks.receive() {
      guard !Task.isCancelled else { throw .cancelled }
      try write(chunk.buffer)
    }
    guard !Task.isCancelled else { throw .cancelled }
    try onImages { () throws(ImagesError) in try pagemap.finish() }
    return counts
  }

  private func write(_ buffer: borrowing PageBuffer) throws(PreDumpError) {
    let began = sluice_monotonic_nanoseconds()
    try onImages { () throws(ImagesError) in
      unsafe try pages.write(
        UnsafeRawBufferPointer(rebasing: buffer.bytes[..<buffer.byteCount]), at: counts.bytesWritten)
      for index in 0..<buffer.runCount {
        let run = unsafe buffer.runTable[index]
        try pagemap.append(
          PagemapRun(address: run.address, pageCount: run.length / pageSize, flags: .present))
      }
    }
    counts.bytesWritten += UInt64(buffer.byteCount)
    counts.pagesWritten += UInt64(buffer.byteCount) / pageSize
    counts.writingNanoseconds += sluice_monotonic_nanoseconds() - began
  }

  /// Makes the images valid.
  func publish(inventory: Inventory, statistics: DumpStatistics) throws(PreDumpError) {
    guard let images = images.take() else { preconditionFailure("images are published once") }
    // Not through `onImages`: a closure may not consume what it captures.
    do throws(ImagesError) {
      try images.publish(inventory: inventory, statistics: statistics)
    } catch {
      throw PreDumpError(error)
    }
  }

  /// Removes what was written.
  func discard() {
    images = nil
  }
}
