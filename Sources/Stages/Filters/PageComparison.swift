internal import CSluiceLinux
internal import Logging
internal import SluiceImages
internal import SluicePipeline

/// The pages of one process as the last round found them, asked from low addresses to high ones.
struct LastPages: ~Copyable {
  private var hashes: PageHashReader
  private var coverage: PagemapCoverage

  init(hashes: consuming PageHashReader, coverage: consuming PagemapCoverage) {
    self.hashes = hashes
    self.coverage = coverage
  }

  /// Whether a page is as it was, and the images have it.
  ///
  /// - Throws: `ImagesError` when they are broken.
  mutating func have(_ hash: PageHash, at page: Range<UInt64>) throws(ImagesError) -> Bool {
    guard let last = try hashes.hash(at: page.lowerBound), last.low == hash.low, last.high == hash.high else {
      return false
    }
    // The two files are of one round and have the same pages; but what is promised and not there ends a restore.
    return try coverage.next(in: page).isCovered
  }
}

/// Compares the pages of one process with those of the last round, and notes what they are now for the next.
struct PageComparison: ~Copyable {
  private var last: LastPages?
  private var hashes: PageHashWriter
  private var writeback: WritebackWindow?
  /// For each page of a buffer, whether the parent has it; kept, so that it is allocated once.
  private var isLeft: [Bool] = []
  private let pageSize: UInt64
  private let pid: Int32
  private let logger: Logger

  /// - Parameters:
  ///   - last: nil where it is not known what the pages were.
  ///   - hashes: for what they are now.
  ///   - pid: as messages have it.
  init(
    last: consuming LastPages?, hashes: consuming PageHashWriter, pageSize: UInt64, pid: Int32, logger: Logger
  ) {
    // A file in memory is its page cache: there is nothing to drop.
    writeback = hashes.file.isInMemory ? nil : WritebackWindow()
    self.last = consume last
    self.hashes = hashes
    self.pageSize = pageSize
    self.pid = pid
    self.logger = logger
  }

  /// Leaves to the parent the pages of a chunk that are as they were.
  ///
  /// - Parameter chunk: its pages are hashed.
  /// - Returns: how many were left.
  /// - Throws: `ImagesError` with `io` when the hashes cannot be written.
  mutating func sort(_ chunk: inout PageChunk, pageSize: Int) throws(ImagesError) -> Int {
    isLeft.removeAll(keepingCapacity: true)
    for index in 0..<chunk.buffer.runCount {
      let run = unsafe chunk.buffer.runTable[index]
      for address in stride(from: run.address, to: run.address + run.length, by: pageSize) {
        let hash = unsafe chunk.buffer.hashTable[isLeft.count]
        try hashes.append(hash, at: address)
        isLeft.append(wasThere(hash, at: address))
      }
    }
    if let action = writeback?.advance(to: hashes.bytesWritten) {
      if let range = action.start { try hashes.file.startWriteback(range) }
      if let range = action.finish { try hashes.file.finishWriteback(range) }
    }
    return chunk.leaveToParent(isLeft, pageSize: pageSize)
  }

  private mutating func wasThere(_ hash: PageHash, at address: UInt64) -> Bool {
    do throws(ImagesError) {
      return try last?.have(hash, at: address..<address + pageSize) ?? false
    } catch {
      // What was found equal before this was so: each block is checked before it is believed.
      logger.warning(
        "cannot look up earlier pages of process \(pid) from 0x\(String(address, radix: 16)) on, so the rest is copied: \(error)"
      )
      last = nil
      return false
    }
  }

  /// Ends the file of the hashes.
  ///
  /// - Throws: `ImagesError` with `io`.
  mutating func finish() throws(ImagesError) {
    try hashes.finish()
    if let writeback { try hashes.file.finishWriteback(writeback.rest(to: hashes.bytesWritten)) }
  }
}
