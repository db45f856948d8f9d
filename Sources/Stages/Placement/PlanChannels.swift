internal import SluicePipeline

/// The channels of plans: one, or one for the readers of each node.
struct PlanChannels: Sendable {
  /// By the places of the placement, which the parts of the ring have, too.
  private let channels: [PlanChannel]

  init(_ channels: [PlanChannel]) { self.channels = channels }

  subscript(place: Int) -> PlanChannel { channels[place] }

  /// Sends a plan to the readers of its buffer's part.
  ///
  /// - Returns: as `BoundedChannel.send`.
  func send(_ plan: consuming ReadPlan) async -> ReadPlan? {
    let place = channels.count == 1 ? 0 : plan.buffer.part
    return await channels[place].send(plan)
  }

  func finish() { for channel in channels { channel.finish() } }

  func fail(_ error: SluiceError) { for channel in channels { channel.fail(error) } }
}
