internal import SluicePipeline

/// How threads that compress or expand divide a memory budget.
struct CompressionMemory: Hashable {
  /// How many threads work.
  let threads: Int
  /// The longest content of a frame, in bytes.
  let frameBytes: Int
  /// The memory for the table of frames, in bytes.
  let tableBytes: Int

  /// A frame that is larger gains nothing: zstd looks no further back, at these levels.
  static let mostFrameBytes = 4 << 20
  private static let leastFrameBytes = 128 << 10
  /// Shorter frames are worse compressed: rather than that, fewer threads.
  private static let goodFrameBytes = 1 << 20
  /// More would never be of use.
  private static let mostThreads = 1024

  /// For compression at a level.
  ///
  /// - Throws: `SluiceError` with `invalidArgument` for a budget that is too small.
  init(compressingAt level: Int, threads wanted: Int, budget: Int) throws(SluiceError) {
    try self.init(wanted: wanted, budget: budget, tableBytes: max(64 << 10, budget / 16)) {
      $0 + ZstdCompressor.bound(of: $0) + ZstdCompressor.memory(level: level)
    }
  }

  /// For expansion.
  ///
  /// - Throws: `SluiceError` with `invalidArgument` for a budget that is too small.
  init(expandingWith wanted: Int, budget: Int) throws(SluiceError) {
    try self.init(wanted: wanted, budget: budget, tableBytes: SeekTable.Reader.bufferBytes) {
      $0 + ZstdCompressor.bound(of: $0) + ZstdExpander.memory
    }
  }

  private init(
    wanted: Int, budget: Int, tableBytes: Int, each: (Int) -> Int
  ) throws(SluiceError) {
    var frameBytes = Self.mostFrameBytes
    var fitting = 0
    while true {
      // Any number may be asked for, and the difference of two need not be one.
      fitting = budget > tableBytes ? (budget - tableBytes) / each(frameBytes) : 0
      if fitting >= (frameBytes > Self.goodFrameBytes ? wanted : 1) || frameBytes == Self.leastFrameBytes {
        break
      }
      frameBytes /= 2
    }
    guard fitting >= 1 else {
      let smallest = (tableBytes + each(Self.leastFrameBytes) + 1023) / 1024
      throw SluiceError(
        .invalidArgument,
        "a memory budget of \(budget) bytes is too small for zstd: use at least \(smallest)K")
    }
    self.frameBytes = frameBytes
    threads = min(max(1, wanted), fitting, Self.mostThreads)
    self.tableBytes = tableBytes
  }
}

/// Runs the same on several threads of its own, and waits for the end of all.
enum Workers {
  /// - Parameters:
  ///   - name: of the threads, to which their numbers are added.
  ///   - body: blocks its thread for as long as it likes.
  /// - Throws: the first error, in the order of the threads, that is not a cancellation.
  static func run(
    _ count: Int, named name: String, _ body: @escaping @Sendable () throws(SluiceError) -> Void
  ) async throws(SluiceError) {
    var threads: [ThreadExecutor] = []
    defer { for thread in threads { thread.shutdown() } }
    for number in 0..<count { threads.append(try StageThreads.make("\(name)-\(number)")) }
    let started = threads
    let errors = await withTaskGroup(of: SluiceError?.self) { group in
      for thread in started {
        group.addTask(executorPreference: thread) {
          do throws(SluiceError) { try body() } catch { return error }
          return nil
        }
      }
      var errors: [SluiceError] = []
      for await error in group {
        if let error { errors.append(error) }
      }
      return errors
    }
    if let error = errors.first(where: { $0.code != .cancelled }) ?? errors.first { throw error }
  }
}
