/// Changes chunks between reading and writing, on a thread of its own.
///
/// A run calls it as it calls its sink: `begin`, chunks in address order, `end`, for one process after the other.
protocol PageFilter: Sendable {
  /// The memory of another process begins.
  ///
  /// - Throws: any error, which ends the run.
  func begin(_ owner: PageOwner) async throws

  /// Changes a chunk, or leaves it as it is.
  ///
  /// - Returns: how many of its pages are left to the parent by that.
  /// - Throws: any error, which ends the run.
  func change(_ chunk: inout PageChunk) async throws -> Int

  /// All chunks of the process were seen. The sink learns of it after this.
  ///
  /// - Throws: any error, which ends the run.
  func end(_ owner: PageOwner, failure: SluiceError?) async throws

  /// The run has failed, or was cancelled.
  func abort() async
}
