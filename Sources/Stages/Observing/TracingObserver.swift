#if Tracing
  internal import SluicePipeline
  public import Tracing

  /// Makes spans for swift-distributed-tracing (trait `Tracing`): `sluice.run`, in it `sluice.round`, in that `sluice.stop` and
  /// `sluice.publish`; and `sluice.session` of a page server. A run, or a session, is a child of the span of the task that has
  /// begun it.
  ///
  /// Attributes are `sluice.pid`, `sluice.round`, and of a round that is complete `sluice.pages.copied`, `sluice.pages.parent`,
  /// `sluice.bytes` and `sluice.tracker`.
  public final class TracingObserver: SluiceObserver {
    private let tracer: any Tracer
    private let open = Locked<[UInt64: any Span]>([:])

    /// - Parameter tracer: makes the spans; nil for that of `InstrumentationSystem`.
    public init(tracer: (any Tracer)? = nil) {
      self.tracer = tracer ?? InstrumentationSystem.tracer
    }

    /// Begins a span.
    public func began(_ span: ObservedSpan, at moment: ObservedMoment) {
      let parent = span.parent.flatMap { parent in open.withLock { $0[parent] } }
      let made = tracer.startSpan(
        "sluice.\(span.kind.rawValue)", context: parent?.context ?? .current ?? .topLevel,
        ofKind: .internal, at: Instant(moment), function: #function, file: #fileID, line: #line)
      if let pid = span.pid { made.attributes["sluice.pid"] = Int64(pid) }
      if let round = span.round { made.attributes["sluice.round"] = Int64(round) }
      open.withLock { $0[span.id] = made }
    }

    /// Ends the span, with the error where there is one.
    public func ended(_ span: ObservedSpan, at moment: ObservedMoment, failure: SluiceError?) {
      guard let made = open.withLock({ $0.removeValue(forKey: span.id) }) else { return }
      if let failure {
        made.recordError(failure)
        made.setStatus(SpanStatus(code: .error, message: failure.message))
      }
      made.end(at: Instant(moment))
    }

    /// Adds the figures of a round.
    public func completed(_ report: PreDumpReport, in span: ObservedSpan) {
      guard let made = open.withLock({ $0[span.id] }) else { return }
      made.attributes["sluice.pages.copied"] = Int64(clamping: report.pagesWritten)
      made.attributes["sluice.pages.parent"] = Int64(clamping: report.pagesSkippedParent)
      made.attributes["sluice.bytes"] = Int64(clamping: report.bytesWritten)
      made.attributes["sluice.tracker"] = report.tracker.rawValue
    }

    private struct Instant: TracerInstant {
      let nanosecondsSinceEpoch: UInt64

      init(_ moment: ObservedMoment) { nanosecondsSinceEpoch = moment.nanosecondsSince1970 }

      static func < (one: Instant, other: Instant) -> Bool {
        one.nanosecondsSinceEpoch < other.nanosecondsSinceEpoch
      }
    }
  }
#endif
