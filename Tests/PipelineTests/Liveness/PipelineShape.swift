import SluiceTestSupport

/// The sizes of a pipeline, and what becomes of it.
struct PipelineShape: Sendable, CustomStringConvertible {
  /// A mistake that a pipeline could have been built with.
  enum Flaw: Sendable {
    /// The walker hands plans on without a buffer, and each reader takes one for the plan that it has got.
    case buffersTakenByReaders
    /// The readers do not flush what they have sent before they wait for more to read.
    case noFlush
    /// The writer keeps fewer early chunks than there can be.
    case narrowWindow
  }

  enum Stage: CaseIterable, Sendable {
    case walker, reader, writer
  }

  /// What puts an early end to a run.
  enum Mishap: Sendable {
    /// This stage fails at this chunk.
    case failure(of: Stage, at: UInt64)
    /// The run is cancelled: after so many jobs, or so many microseconds where there are threads.
    case cancellation(after: Int)
  }

  let seed: UInt64
  var buffers: Int
  var readers: Int
  /// Writes in flight.
  var depth: Int
  var planCapacity: Int
  /// The walker is woken when there is room for so many plans.
  var planBatch: Int
  var chunkCapacity: Int
  /// The writer is woken when so many chunks are there.
  var chunkBatch: Int
  /// A reader that waits for the writer is woken when there is room for so many chunks.
  var chunkRoomBatch: Int
  /// How many plans there are in all.
  var plans: UInt64
  var mishap: Mishap?
  var flaw: Flaw?

  /// Any shape: the seed decides.
  init(seed: UInt64, flaw: Flaw? = nil) {
    var random = SplitMix(seed: seed)
    self.seed = seed
    self.flaw = flaw
    buffers = .random(in: 1...24, using: &random)
    readers = .random(in: 1...6, using: &random)
    depth = .random(in: 1...9, using: &random)
    planCapacity = .random(in: 1...9, using: &random)
    planBatch = .random(in: 1...planCapacity, using: &random)
    chunkCapacity = .random(in: 1...9, using: &random)
    chunkBatch = .random(in: 1...chunkCapacity, using: &random)
    chunkRoomBatch = .random(in: 1...chunkCapacity, using: &random)
    plans = .random(in: 0...60, using: &random)
    switch Int.random(in: 0..<4, using: &random) {
    case 0:
      mishap = .failure(
        of: Stage.allCases.randomElement(using: &random) ?? .walker,
        at: .random(in: 0...max(plans, 1) - 1, using: &random))
    case 1: mishap = .cancellation(after: .random(in: 0...2000, using: &random))
    default: mishap = nil
    }
  }

  /// How far ahead of the oldest missing chunk another can be kept.
  var window: Int { flaw == .narrowWindow ? max(1, buffers / 4) : buffers }

  func isFailing(_ stage: Stage, at sequence: UInt64) -> Bool {
    if case .failure(stage, sequence) = mishap { true } else { false }
  }

  var description: String {
    "seed \(seed): \(buffers) buffers, \(readers) readers, \(depth) writes in flight, \(plans) plans through a channel"
      + " of \(planCapacity) in batches of \(planBatch), chunks through one of \(chunkCapacity) in batches of"
      + " \(chunkBatch) out and \(chunkRoomBatch) in, mishap: \(mishap.map { "\($0)" } ?? "none")"
  }
}
