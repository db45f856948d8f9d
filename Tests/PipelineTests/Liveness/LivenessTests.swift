import Testing

@testable import SluicePipeline

/// The pipeline never comes to a stand, whatever its sizes and whoever is quick or slow. Without threads: the seed
/// picks whose turn it is.
@Suite(.timeLimit(.minutes(15))) struct LivenessTests {
  /// How a run ended.
  private enum End: Equatable {
    case written([UInt64])
    /// A stage failed, or the run was cancelled.
    case gaveUp
    /// The stages wait for each other.
    case stuck
  }

  private struct Host: ModelHost {
    let executor: SeededExecutor
    var taskExecutor: any TaskExecutor { executor }

    func run(
      _ stage: @Sendable () async -> Result<[UInt64], ModelPipeline.Broken>
    ) async -> Result<[UInt64], ModelPipeline.Broken> {
      await stage()
    }
  }

  private static func end(of shape: PipelineShape) throws -> End {
    let model = try ModelPipeline(shape)
    let executor = SeededExecutor(seed: shape.seed)
    let engine = SeededWriteEngine(on: executor, seed: shape.seed)
    let host = Host(executor: executor)
    let jobs = if case .cancellation(let jobs) = shape.mishap { jobs } else { Int.max }
    let result = executor.run(cancelledAfter: jobs) {
      await model.run(
        walker: host, readers: Array(repeating: host, count: shape.readers), writer: host, engine: engine)
    }
    #expect(model.ring.takenCount == 0, "\(shape)")
    guard let result else { return .stuck }
    return result.map { .written($0) } ?? .gaveUp
  }

  @Test(arguments: 0..<8) func `every shape comes to its end`(part: UInt64) throws {
    for seed in part * 1000..<(part + 1) * 1000 {
      let shape = PipelineShape(seed: seed)
      let end = try Self.end(of: shape)
      let whole = End.written(Array(0..<shape.plans))
      switch shape.mishap {
      case nil: #expect(end == whole, "\(shape)")
      case .failure: #expect(end == .gaveUp || shape.plans == 0 && end == whole, "\(shape)")
      // It may have come too late.
      case .cancellation: #expect(end == .gaveUp || end == whole, "\(shape)")
      }
    }
  }

  /// Were it not so, the test above could not fail.
  @Test(arguments: [PipelineShape.Flaw.buffersTakenByReaders, .noFlush])
  func `a pipeline that can come to a stand is seen to`(flaw: PipelineShape.Flaw) throws {
    var stuck = 0
    for seed in 0..<200 as Range<UInt64> {
      var shape = PipelineShape(seed: seed, flaw: flaw)
      shape.mishap = nil
      switch try Self.end(of: shape) {
      case .stuck: stuck += 1
      // The seed was kind to it.
      case let end: #expect(end == .written(Array(0..<shape.plans)), "\(shape)")
      }
    }
    #expect(stuck > 0)
  }

  @Test func `a writer that keeps too few early chunks is seen to lose some`() throws {
    var incomplete = 0
    for seed in 0..<200 as Range<UInt64> {
      var shape = PipelineShape(seed: seed, flaw: .narrowWindow)
      shape.mishap = nil
      if try Self.end(of: shape) != .written(Array(0..<shape.plans)) { incomplete += 1 }
    }
    #expect(incomplete > 0)
  }
}
