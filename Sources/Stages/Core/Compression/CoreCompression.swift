internal import SluicePipeline
internal import SluiceSystem

/// Compresses a file with holes, such as a core, by zstd. Every program for zstd can expand what comes of it, and those that
/// know the seekable format find any part of it without the parts before.
///
/// Holes are not read: each is 1/32768 of its length in the result. `zstd -d` writes a file with holes of it, as far as it
/// writes into a file; into a pipe it writes all the zeros.
public struct CoreCompression: Sendable {
  /// zstd's level, from 1 to 9.
  public var level = 3
  /// How many threads compress; nil for as many as this program has processors. Fewer where the memory does not suffice.
  public var threads: Int?
  /// The memory for everything that could grow, in bytes.
  public var memoryBudget = 64 << 20

  /// Everything as most want it.
  public init() {}

  /// What was made.
  public struct Report: Hashable, Sendable, Codable {
    /// The file's length, with its holes.
    public internal(set) var bytes: UInt64 = 0
    /// Bytes of holes, which were not read.
    public internal(set) var holeBytes: UInt64 = 0
    /// The length of the result.
    public internal(set) var compressedBytes: UInt64 = 0
    /// Parts that can be expanded each by itself.
    public internal(set) var frames: UInt64 = 0
    /// Whether the result says where they are. Where there are more than the memory for that has room for it does not, and
    /// only one thread can expand it.
    public internal(set) var isSeekable = true

    private enum CodingKeys: String, CodingKey {
      case bytes
      case holeBytes = "hole_bytes"
      case compressedBytes = "compressed_bytes"
      case frames
      case isSeekable = "is_seekable"
    }
  }

  /// Runs to the end. The result goes to where `output` stands now, which may be a pipe.
  ///
  /// Where it fails or is cancelled, what was written is no whole file. Neither descriptor is needed after it has returned;
  /// where a disk or a pipe does not take anything for ten seconds after a cancellation, a thread with descriptors of its own
  /// is left behind.
  ///
  /// - Parameters:
  ///   - input: a descriptor of a regular file, whose position does not matter and may change.
  ///   - output: a descriptor that is open for writing.
  ///   - inputName: how messages call the file.
  ///   - outputName: how messages call the result.
  /// - Throws: `SluiceError`: `io`, `cancelled`; `system` where there is no zstd; `invalidArgument` for a budget that is too
  ///   small, a level that there is not, or an input that is no regular file.
  public func run(
    from input: Int32, to output: Int32, inputName: String, outputName: String
  ) async throws(SluiceError) -> Report {
    guard ZstdCompressor.levels.contains(level) else {
      throw SluiceError(
        .invalidArgument,
        "compression level \(level) does not exist: use one from \(ZstdCompressor.levels.lowerBound) to \(ZstdCompressor.levels.upperBound)"
      )
    }
    let memory = try CompressionMemory(
      compressingAt: level, threads: threads ?? Topology.usableProcessorCount, budget: memoryBudget)
    let job = try CompressionJob(
      from: PlainFile(duplicating: input, name: inputName),
      to: PlainFile(duplicating: output, name: outputName),
      level: level, memory: memory)
    do throws(SluiceError) {
      return try await Patience<Report>().run { () async throws(SluiceError) in
        try await Coordinator.run { () async throws(SluiceError) in try await job.run() }
      }
    } catch {
      throw error.ifCancelled(is: "the compression")
    }
  }
}

/// A file that is being compressed by several threads.
private final class CompressionJob: Sendable {
  private struct Plan {
    var frames: FramePlan
    var number: UInt64 = 0
  }

  private struct Output {
    var table: SeekTable.Writer
    var report = CoreCompression.Report()
  }

  private let input: PlainFile
  private let output: PlainFile
  private let level: Int
  private let memory: CompressionMemory
  private let plan: Locked<Plan>
  private let made: Locked<Output>
  /// Each frame is written when its turn comes.
  private let turns = Turns()
  /// What most frames of a large hole are.
  private let longestHole = HoleFrame.make(of: HoleFrame.mostBytes)

  init(
    from input: consuming PlainFile, to output: consuming PlainFile, level: Int, memory: CompressionMemory
  ) throws(SluiceError) {
    guard input.isRegular else {
      throw SluiceError(
        .invalidArgument, "\(input.name) is not a regular file: only regular files can be compressed")
    }
    let byteCount = input.status.byteCount
    self.input = input
    self.output = output
    self.level = level
    self.memory = memory
    plan = Locked(Plan(frames: FramePlan(byteCount: byteCount, frameBytes: memory.frameBytes)))
    made = Locked(
      Output(
        table: SeekTable.Writer(mostBytes: memory.tableBytes),
        report: CoreCompression.Report(bytes: byteCount)))
  }

  func run() async throws(SluiceError) -> CoreCompression.Report {
    try await Workers.run(memory.threads, named: "sluice-zstd") { () throws(SluiceError) in
      do throws(SluiceError) { try self.work() } catch {
        self.turns.end()
        throw error
      }
    }
    let (table, report) = made.withLock { made in
      var report = made.report
      report.isSeekable = made.table.isWhole
      let table = made.table.finish()
      made.table = SeekTable.Writer(mostBytes: 0)
      report.compressedBytes += UInt64(table.count)
      return (table, report)
    }
    try output.write(table, 0..<table.count)
    return report
  }

  private func work() throws(SluiceError) {
    let compressor = try ZstdCompressor(level: level)
    var bytes = [UInt8](repeating: 0, count: memory.frameBytes)
    var frame = [UInt8](repeating: 0, count: ZstdCompressor.bound(of: memory.frameBytes))
    while let (number, part) = try next() {
      guard !Task.isCancelled else { throw .cancelled }
      switch part {
      case .data(let range):
        let count = part.byteCount
        guard try input.read(at: range.lowerBound, into: &bytes, count: count) == count else {
          throw SluiceError(.io, "reading \(input.name): the file became shorter in the meantime")
        }
        let length = try compressor.compress(bytes, count: count, into: &frame)
        guard try write(frame, count: length, of: part, number: number) else { return }
      case .hole(let count):
        let hole = count == HoleFrame.mostBytes ? longestHole : HoleFrame.make(of: count)
        guard try write(hole, count: hole.count, of: part, number: number) else { return }
      }
    }
  }

  /// The next piece of the file, and its number.
  private func next() throws(SluiceError) -> (UInt64, FramePlan.Frame)? {
    // Looking for holes may wait for the disk; so would the others, who need what comes of it.
    try plan.withLock { plan throws(SluiceError) -> (UInt64, FramePlan.Frame)? in
      let part = try plan.frames.next { offset throws(SluiceError) in try input.data(from: offset) }
      guard let part else { return nil }
      defer { plan.number += 1 }
      return (plan.number, part)
    }
  }

  /// Writes a frame when its turn has come.
  ///
  /// - Returns: false where another thread has failed.
  private func write(
    _ frame: [UInt8], count: Int, of part: FramePlan.Frame, number: UInt64
  ) throws(SluiceError) -> Bool {
    guard turns.wait(for: number) else { return false }
    try output.write(frame, 0..<count)
    made.withLock { made in
      made.table.add(SeekTable.Entry(compressed: UInt32(count), expanded: UInt32(part.byteCount)))
      made.report.compressedBytes += UInt64(count)
      made.report.frames += 1
      if case .hole = part { made.report.holeBytes += UInt64(part.byteCount) }
    }
    turns.pass()
    return true
  }
}
