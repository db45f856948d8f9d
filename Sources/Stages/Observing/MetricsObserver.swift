#if Metrics
  public import CoreMetrics
  internal import SluicePipeline

  /// Passes what runs do on to swift-metrics (trait `Metrics`), by these labels, `sluice` standing for the prefix:
  ///
  /// | label | kind | dimensions |
  /// |---|---|---|
  /// | `sluice_stop`, `_clear`, `_injection`, `_read`, `_write`, `_send` | timer | |
  /// | `sluice_pages` | counter | `kind`: `ObservedPages` |
  /// | `sluice_spans` | counter | `kind`: `ObservedSpan.Kind`; `outcome`: `ok`, `failed`, `cancelled` |
  /// | `sluice_active` | meter | `kind`: `run`, `session` |
  /// | `sluice_budget_bytes` | meter | `part`: what the memory is for |
  ///
  /// Timers get the durations of a round at its end, each to an eighth of itself.
  public final class MetricsObserver: SluiceObserver {
    private struct State: Sendable {
      var active: [ObservedSpan.Kind: Int] = [:]
      var held: [UInt64: [ObservedMemory]] = [:]
      /// By the parts of the budget.
      var parts: [String: Meter] = [:]
      var activeMeters: [ObservedSpan.Kind: Meter] = [:]
      var outcomes: [String: Counter] = [:]
    }

    private let prefix: String
    private let factory: any MetricsFactory
    private let timers: [ObservedOperation: CoreMetrics.Timer]
    private let pages: [ObservedPages: Counter]
    private let state = Locked(State())

    /// - Parameters:
    ///   - prefix: what all labels begin with.
    ///   - factory: makes the metrics; nil for that of `MetricsSystem`.
    public init(prefix: String = "sluice", factory: (any MetricsFactory)? = nil) {
      let factory = factory ?? MetricsSystem.factory
      self.prefix = prefix
      self.factory = factory
      timers = Dictionary(
        uniqueKeysWithValues: ObservedOperation.allCases.map {
          ($0, CoreMetrics.Timer(label: "\(prefix)_\($0.rawValue)", dimensions: [], factory: factory))
        })
      pages = Dictionary(
        uniqueKeysWithValues: ObservedPages.allCases.map {
          ($0, Counter(label: "\(prefix)_pages", dimensions: [("kind", $0.rawValue)], factory: factory))
        })
    }

    /// Counts it as active.
    public func began(_ span: ObservedSpan, at moment: ObservedMoment) { addActive(1, span.kind) }

    /// Counts it by what became of it.
    public func ended(_ span: ObservedSpan, at moment: ObservedMoment, failure: SluiceError?) {
      addActive(-1, span.kind)
      let outcome = failure.map { $0.code == .cancelled ? "cancelled" : "failed" } ?? "ok"
      let (prefix, factory) = (prefix, factory)
      let counter = state.withLock { state in
        let key = "\(span.kind) \(outcome)"
        let counter =
          state.outcomes[key]
          ?? Counter(
            label: "\(prefix)_spans", dimensions: [("kind", span.kind.rawValue), ("outcome", outcome)],
            factory: factory)
        state.outcomes[key] = counter
        return counter
      }
      counter.increment()
    }

    /// Records all of them.
    public func took(_ durations: DurationHistogram, _ operation: ObservedOperation, in span: ObservedSpan) {
      guard let timer = timers[operation] else { return }
      // What comes by itself need not be rounded.
      guard durations.count > 1 else { return timer.recordNanoseconds(durations.total.inNanoseconds) }
      for step in durations.steps {
        let middle = step.middle.inNanoseconds
        for _ in 0..<step.count { timer.recordNanoseconds(middle) }
      }
    }

    /// Adds them.
    public func counted(_ pages: UInt64, _ kind: ObservedPages, in span: ObservedSpan) {
      self.pages[kind]?.increment(by: Int64(clamping: pages))
    }

    /// Sets the meters to what all that are under way have.
    public func holds(_ parts: [ObservedMemory], in span: ObservedSpan) {
      let (prefix, factory) = (prefix, factory)
      state.withLock { state in
        state.held[span.id] = parts.isEmpty ? nil : parts
        for part in parts where state.parts[part.purpose] == nil {
          state.parts[part.purpose] = Meter(
            label: "\(prefix)_budget_bytes", dimensions: [("part", part.purpose)], factory: factory)
        }
        for (purpose, meter) in state.parts {
          meter.set(state.held.values.joined().reduce(0) { $0 + ($1.purpose == purpose ? $1.byteCount : 0) })
        }
      }
    }

    private func addActive(_ change: Int, _ kind: ObservedSpan.Kind) {
      guard kind == .run || kind == .session else { return }
      let (prefix, factory) = (prefix, factory)
      state.withLock { state in
        let count = state.active[kind, default: 0] + change
        state.active[kind] = count
        let meter =
          state.activeMeters[kind]
          ?? Meter(label: "\(prefix)_active", dimensions: [("kind", kind.rawValue)], factory: factory)
        state.activeMeters[kind] = meter
        meter.set(count)
      }
    }
  }

  extension Duration {
    fileprivate var inNanoseconds: Int64 {
      let (seconds, attoseconds) = components
      return seconds &* 1_000_000_000 &+ attoseconds / 1_000_000_000
    }
  }
#endif
