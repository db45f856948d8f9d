/// Runs what may block, such as reading images, away from its caller's executor.
enum BlockingWork {
  /// Runs `body` on a thread of its own. Where the caller's task is cancelled, so is that of `body`, which is waited for;
  /// where it does not come back from the kernel, as on a disk that does not answer, it is left behind there after ten
  /// seconds.
  ///
  /// - Parameters:
  ///   - work: as a cancellation names it, such as "the check of the images".
  ///   - isBegunAnyway: whether it is begun, too, where the caller's task is cancelled already.
  /// - Throws: what `body` throws; `SluiceError` with `cancelled`, or `system` when there is no thread.
  static func run<Success: Sendable>(
    _ work: String, isBegunAnyway: Bool = false, _ body: @escaping @Sendable () throws(SluiceError) -> Success
  ) async throws(SluiceError) -> Success {
    do throws(SluiceError) {
      guard isBegunAnyway || !Task.isCancelled else { throw .cancelled }
      return try await Patience<Success>().run { () async throws(SluiceError) in
        try await Coordinator.run { () async throws(SluiceError) in try body() }
      }
    } catch {
      throw error.ifCancelled(is: work)
    }
  }
}
