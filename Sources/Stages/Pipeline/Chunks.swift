internal import SluicePipeline

/// What is to be read next: the runs in the buffer's table, at most as much as the buffer holds.
///
/// The buffer was taken before the plan was handed on. So buffers are held in the order of the plans, the
/// oldest plan always has one, and the pipeline cannot come to a stand with every buffer in the wrong hands.
struct ReadPlan: ~Copyable, Sendable {
  /// The place of the plan among all of the round, counted from 0.
  let sequence: UInt64
  /// Whose memory: an index into the tasks of the round.
  let task: Int
  /// Whether this is the last one of its task.
  let endsTask: Bool
  var buffer: PageBuffer
}

/// What was read: the buffer's table says of which pages its bytes are.
struct FilledChunk: ~Copyable, Sendable {
  let sequence: UInt64
  let task: Int
  let endsTask: Bool
  var buffer: PageBuffer
  /// What of the bytes has to be written.
  var data: NonZeroExtents
}

typealias PlanChannel = BoundedChannel<ReadPlan, SluiceError>
typealias ChunkChannel = BoundedChannel<FilledChunk, SluiceError>
