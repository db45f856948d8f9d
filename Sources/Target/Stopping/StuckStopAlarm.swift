/// Tells when a tree stands still for longer than its lease, which is to say that the thread that holds it does not come
/// back from the kernel: nobody else can let go of what that thread traces.
final class StuckStopAlarm: Sendable {
  private let task: Task<Void, Never>

  /// Begins to watch, until this value is gone.
  init(_ lease: StopLease, _ report: @escaping @Sendable (TargetError) -> Void) {
    // Not a task of whoever calls, nor on the thread that is watched.
    task = Task.detached {
      do { try await Task.sleep(until: lease.deadline + StopLease.grace, clock: .continuous) } catch {
        return
      }
      report(lease.isStuck)
    }
  }

  deinit { task.cancel() }
}
