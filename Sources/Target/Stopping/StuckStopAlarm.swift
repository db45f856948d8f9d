/// Tells when a tree is stopped for longer than its lease: the thread that has stopped it does not come back from the
/// kernel then, and nobody else can resume the threads that it traces.
final class StuckStopAlarm: Sendable {
  private let task: Task<Void, Never>

  /// Begins to wait, until this object is gone.
  init(_ lease: StopLease, _ report: @escaping @Sendable (TargetError) -> Void) {
    // Not a task of the caller's, nor on the thread that may be stuck.
    task = Task.detached {
      do { try await Task.sleep(until: lease.deadline + StopLease.grace, clock: .continuous) } catch {
        return
      }
      report(lease.isStuck)
    }
  }

  deinit { task.cancel() }
}
