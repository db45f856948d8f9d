import CSluiceLinux
import Foundation
import SluiceTestSupport
import Testing

@testable import SluicePipeline

@Suite(.timeLimit(.minutes(15))) struct WriteQueueTests {
  private static let pageSize = Int(sluice_page_size())

  private static func ring(count: Int, pages: Int) throws -> BufferRing {
    try BufferRing(layout: BufferLayout(count: count, chunkBytes: pages * pageSize, pageSize: pageSize))
  }

  @Test(arguments: 0..<40) func `writes everything through an engine that does as it likes`(seed: UInt64)
    async throws
  {
    var random = SplitMix(seed: seed)
    let plan = WritePlan(chunks: 60, pages: 4, using: &random)
    let ring = try Self.ring(count: Int.random(in: 1...6, using: &random), pages: 4)
    let engine = ScriptedEngine(seed: seed, fileBytes: plan.fileBytes)
    let depth = Int.random(in: 1...8, using: &random)
    let writer = QueueWriter(engine: engine, ring: ring, depth: depth)
    #expect(await writer.write(plan, to: -1) == nil)
    #expect(engine.file == plan.contents)
    #expect(engine.mostPending <= depth)
    #expect(ring.takenCount == 0)
    engine.shutdown()
  }

  @Test(arguments: 0..<40) func `the first error is the one that is thrown, and no buffer is lost`(
    seed: UInt64
  ) async throws {
    var random = SplitMix(seed: seed)
    let plan = WritePlan(chunks: 60, pages: 4, using: &random)
    let ring = try Self.ring(count: 4, pages: 4)
    let engine = ScriptedEngine(
      seed: seed, fileBytes: plan.fileBytes, errorShare: Int.random(in: 2...60, using: &random))
    let writer = QueueWriter(engine: engine, ring: ring, depth: Int.random(in: 1...8, using: &random))
    #expect(await writer.write(plan, to: -1) == engine.errors.first)
    #expect(ring.takenCount == 0)
    engine.shutdown()
  }

  @Test(arguments: EngineKind.allCases, [1, 2, 8, 64])
  func `writes a file through a real engine`(engine kind: EngineKind, depth: Int) async throws {
    var random = SplitMix(seed: UInt64(depth))
    let plan = WritePlan(chunks: 100, pages: 16, using: &random)
    let ring = try Self.ring(count: 5, pages: 16)
    try await withTemporaryDirectory { directory in
      let path = "\(directory)/file"
      let descriptor = unsafe sluice_open_at(sluice_current_directory(), path, SLUICE_OPEN_CREATE)
      #expect(descriptor >= 0)
      defer { _ = sluice_close(descriptor) }
      let engine = try kind.makeEngine(depth: depth, ring: ring)
      let writer = QueueWriter(engine: engine, ring: ring, depth: depth)
      #expect(await writer.write(plan, to: descriptor) == nil)
      engine.shutdown()
      #expect(ring.takenCount == 0)
      let file = try Data(contentsOf: URL(fileURLWithPath: path))
      // What ends in zeros is not written to its end.
      #expect([UInt8](file) == Array(plan.contents.prefix(file.count)))
      #expect(plan.contents.dropFirst(file.count).allSatisfy { $0 == 0 })
    }
  }

  @Test(arguments: EngineKind.allCases)
  func `says what the kernel says of a file that cannot be written`(engine kind: EngineKind) async throws {
    var random = SplitMix(seed: 1)
    let ring = try Self.ring(count: 5, pages: 4)
    let engine = try kind.makeEngine(depth: 4, ring: ring)
    let writer = QueueWriter(engine: engine, ring: ring, depth: 4)
    // Every write to it fails with ENOSPC.
    let full = unsafe sluice_open_at(sluice_current_directory(), "/dev/full", SLUICE_OPEN_WRITE)
    #expect(await writer.write(WritePlan(chunks: 20, pages: 4, using: &random), to: full) == 28)
    _ = sluice_close(full)
    #expect(ring.takenCount == 0)
    engine.shutdown()
  }

  /// Writes come short before they find no room at all.
  @Test(.needsRoot, arguments: EngineKind.allCases)
  func `says so when the disk becomes full`(engine kind: EngineKind) async throws {
    var random = SplitMix(seed: 2)
    let plan = WritePlan(chunks: 40, pages: 16, using: &random)
    let ring = try Self.ring(count: 5, pages: 16)
    let disk = try SmallFilesystem(kibibytes: 500, files: 1)
    let file = unsafe sluice_open_at(sluice_current_directory(), "\(disk.path)/file", SLUICE_OPEN_CREATE)
    let engine = try kind.makeEngine(depth: 4, ring: ring)
    let writer = QueueWriter(engine: engine, ring: ring, depth: 4)
    #expect(await writer.write(plan, to: file) == ENOSPC)
    // Or the disk was full from the start.
    #expect(sluice_file_allocated(file) == 500 << 10)
    _ = sluice_close(file)
    #expect(ring.takenCount == 0)
    engine.shutdown()
  }
}

/// What is to be written, and how the file must look then.
private struct WritePlan: Sendable {
  struct Chunk: Sendable {
    var parts: [WriteQueue.Part] = []
  }

  var chunks: [Chunk] = []
  let chunkBytes: Int
  private(set) var contents: [UInt8]

  var fileBytes: Int { contents.count }

  init(chunks count: Int, pages: Int, using random: inout SplitMix) {
    let pageSize = Int(sluice_page_size())
    chunkBytes = pages * pageSize
    contents = [UInt8](repeating: 0, count: count * chunkBytes)
    for number in 0..<count {
      var chunk = Chunk()
      for page in 0..<pages where Int.random(in: 0..<3, using: &random) > 0 {
        if let last = chunk.parts.indices.last,
          chunk.parts[last].position + chunk.parts[last].count == page * pageSize
        {
          chunk.parts[last].count += pageSize
        } else {
          chunk.parts.append(.init(position: page * pageSize, count: pageSize))
        }
        let start = number * chunkBytes + page * pageSize
        for index in start..<start + pageSize { contents[index] = Self.byte(at: index) }
      }
      chunks.append(chunk)
    }
  }

  /// Never 0, and not the same at any two places that are easily mixed up.
  static func byte(at index: Int) -> UInt8 { UInt8(truncatingIfNeeded: index % 251 &+ index >> 12) | 1 }
}

/// An actor that writes as the last stage of a pipeline does.
private actor QueueWriter {
  private nonisolated let engine: any WriteEngine
  private let ring: BufferRing
  private let depth: Int

  nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe engine.unownedExecutor }

  init(engine: any WriteEngine, ring: BufferRing, depth: Int) {
    self.engine = engine
    self.ring = ring
    self.depth = depth
  }

  /// - Returns: the errno of the failure, if there was one.
  func write(_ plan: WritePlan, to descriptor: Int32) async -> Int32? {
    let queue = WriteQueue(engine: engine, depth: depth, pageSize: ring.layout.pageSize)
    var failure: Int32?
    do throws(WriteQueue.Failed) {
      for (number, chunk) in plan.chunks.enumerated() {
        guard let buffer = await ring.take() else { preconditionFailure("this test does not cancel") }
        let start = number * plan.chunkBytes
        for index in 0..<plan.chunkBytes { unsafe buffer.bytes[index] = WritePlan.byte(at: start + index) }
        try await queue.write(buffer, parts: chunk.parts, to: descriptor, at: UInt64(start))
      }
    } catch {
      failure = error.errno
    }
    do throws(WriteQueue.Failed) { try await queue.drain() } catch { failure = failure ?? error.errno }
    precondition(queue.lowestFileOffsetInFlight == nil, "nothing is in flight after a drain")
    return failure
  }
}
