import Sluice
import Synchronization

/// Keeps what runs tell, for Prometheus: a page of text in its exposition format.
final class PrometheusObserver: SluiceObserver {
  private struct State {
    var durations: [ObservedOperation: DurationHistogram] = [:]
    var pages: [ObservedPages: UInt64] = [:]
    var ended: [String: UInt64] = [:]
    var active = 0
    var held: [UInt64: [ObservedMemory]] = [:]
    /// A gauge that is gone would be taken for one that has not changed.
    var purposes: Set<String> = []
  }

  private let state = Mutex(State())
  private let budget: Int
  /// From a hundredth of a millisecond to ten seconds.
  private static let bounds: [(text: String, nanoseconds: UInt64)] = [
    ("0.00001", 10_000), ("0.0001", 100_000), ("0.001", 1_000_000), ("0.01", 10_000_000),
    ("0.1", 100_000_000),
    ("1", 1_000_000_000), ("10", 10_000_000_000),
  ]

  init(budget: Int) { self.budget = budget }

  func began(_ span: ObservedSpan, at moment: ObservedMoment) {
    if span.kind == .run { state.withLock { $0.active += 1 } }
  }

  func ended(_ span: ObservedSpan, at moment: ObservedMoment, failure: SluiceError?) {
    guard span.kind == .run else { return }
    let outcome = failure.map { $0.code == .cancelled ? "cancelled" : "failed" } ?? "ok"
    state.withLock { state in
      state.active -= 1
      state.ended[outcome, default: 0] += 1
    }
  }

  func took(_ durations: DurationHistogram, _ operation: ObservedOperation, in span: ObservedSpan) {
    state.withLock { $0.durations[operation, default: DurationHistogram()] += durations }
  }

  func counted(_ pages: UInt64, _ kind: ObservedPages, in span: ObservedSpan) {
    state.withLock { $0.pages[kind, default: 0] += pages }
  }

  func holds(_ parts: [ObservedMemory], in span: ObservedSpan) {
    state.withLock { state in
      state.held[span.id] = parts.isEmpty ? nil : parts
      state.purposes.formUnion(parts.map(\.purpose))
    }
  }

  /// The page.
  var text: String {
    state.withLock { state in
      var lines: [String] = []
      func metric(_ name: String, _ kind: String, _ help: String) {
        lines += ["# HELP sluice_\(name) \(help)", "# TYPE sluice_\(name) \(kind)"]
      }
      for operation in ObservedOperation.allCases {
        let durations = state.durations[operation] ?? DurationHistogram()
        let name = "\(operation.rawValue)_seconds"
        metric(name, "histogram", "How long each \(operation.rawValue) took.")
        let steps = durations.steps
        for bound in Self.bounds {
          let count = steps.filter { $0.nanoseconds.upperBound <= bound.nanoseconds }.reduce(0) {
            $0 + $1.count
          }
          lines.append("sluice_\(name)_bucket{le=\"\(bound.text)\"} \(count)")
        }
        lines += [
          "sluice_\(name)_bucket{le=\"+Inf\"} \(durations.count)",
          "sluice_\(name)_sum \(durations.total / .seconds(1))", "sluice_\(name)_count \(durations.count)",
        ]
      }
      metric("pages_total", "counter", "Pages by what became of them.")
      for kind in ObservedPages.allCases {
        lines.append("sluice_pages_total{kind=\"\(kind.rawValue)\"} \(state.pages[kind] ?? 0)")
      }
      metric("runs_total", "counter", "Runs that have ended.")
      for outcome in ["ok", "failed", "cancelled"] {
        lines.append("sluice_runs_total{outcome=\"\(outcome)\"} \(state.ended[outcome] ?? 0)")
      }
      metric("active_runs", "gauge", "Runs that are under way.")
      lines.append("sluice_active_runs \(state.active)")
      metric("budget_bytes", "gauge", "The memory that all runs together may have.")
      lines.append("sluice_budget_bytes \(budget)")
      metric("budget_held_bytes", "gauge", "What runs had of the budget when they began, by what it is for.")
      for purpose in state.purposes.sorted() {
        let bytes = state.held.values.joined().filter { $0.purpose == purpose }.reduce(0) {
          $0 + $1.byteCount
        }
        lines.append("sluice_budget_held_bytes{part=\"\(purpose)\"} \(bytes)")
      }
      metric("peak_memory_bytes", "gauge", "The most memory that this program has had.")
      lines.append("sluice_peak_memory_bytes \(SluiceRuntime.peakMemoryBytes ?? 0)")
      return lines.joined(separator: "\n") + "\n"
    }
  }
}
