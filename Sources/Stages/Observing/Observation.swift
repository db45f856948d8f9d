internal import CSluiceLinux
internal import Glibc
internal import SluicePipeline
internal import Synchronization

/// A span that is told to an observer. There is none where nobody observes.
struct Observation: Sendable {
  let observer: any SluiceObserver
  let span: ObservedSpan

  private static let lastID = Atomic<UInt64>(0)

  /// Nil where nobody observes.
  init?(
    _ kind: ObservedSpan.Kind, of pid: Int32?, round: Int? = nil, within parent: Observation? = nil,
    by observer: (any SluiceObserver)?
  ) {
    guard let observer else { return nil }
    self.observer = observer
    span = ObservedSpan(
      id: Self.lastID.add(1, ordering: .relaxed).newValue, parent: parent?.span.id, kind: kind, pid: pid,
      round: round)
  }

  /// A part of this one.
  private func part(_ kind: ObservedSpan.Kind) -> Observation? {
    Observation(kind, of: span.pid, round: span.round, within: self, by: observer)
  }

  func begin() { observer.began(span, at: .now) }

  func end(_ failure: SluiceError? = nil) { observer.ended(span, at: .now, failure: failure) }

  /// Tells of a stop that has ended just now.
  func tellStop(nanoseconds: UInt64) {
    guard let stop = part(.stop) else { return }
    let now = ObservedMoment.now
    observer.began(
      stop.span, at: ObservedMoment(nanosecondsSince1970: now.nanosecondsSince1970 - nanoseconds))
    observer.ended(stop.span, at: now, failure: nil)
  }

  func tell(_ durations: DurationHistogram?, _ operation: ObservedOperation) {
    guard let durations, durations.count > 0 else { return }
    observer.took(durations, operation, in: span)
  }

  func tell(_ nanoseconds: [UInt64], _ operation: ObservedOperation) {
    var durations = DurationHistogram()
    for duration in nanoseconds where duration > 0 { durations.add(nanoseconds: duration) }
    tell(durations, operation)
  }

  func tell(_ pages: UInt64, _ kind: ObservedPages) {
    if pages > 0 { observer.counted(pages, kind, in: span) }
  }

  /// Tells how much memory a round or session has of the budget.
  func tell(_ lease: RuntimeLease) {
    let ring = lease.ring
    let buffers = ObservedMemory(
      purpose: "buffers", byteCount: ring.limit * (ring.layout.totalBytes / ring.layout.count))
    observer.holds(
      lease.budget.shares.map { ObservedMemory(purpose: $0.purpose, byteCount: $0.byteCount) } + [buffers],
      in: span)
  }

  func tellReleased() { observer.holds([], in: span) }

  /// Tells of a round that is complete.
  ///
  /// - Parameter sends: whether the chunks went to a page server.
  func tell(_ report: PreDumpReport, _ round: PreparedRound, _ counts: StageCounts, sends: Bool) {
    tell(round.injections, .injection)
    tell([round.clearNanoseconds], .clear)
    tell(round.stop.map { [$0.total] } ?? [], .stop)
    tell(counts.readers.durations, .read)
    tell(counts.sink.durations, sends ? .send : .write)
    tell(report.pagesWritten, .copied)
    tell(report.pagesZero, .zero)
    tell(report.pagesSkippedParent, .parent)
    tell(report.pagesVanished, .vanished)
    tell(report.pagesForced, .forced)
    tell(report.pagesSwapped, .swapped)
    tell(report.pagesSkipped.values.reduce(0, +), .leftOut)
    observer.completed(report, in: span)
  }
}

extension Observation? {
  /// Tells of the beginning and the end of what `body` does.
  ///
  /// - Throws: what `body` throws.
  func during<Success>(
    _ body: () async throws(SluiceError) -> Success
  ) async throws(SluiceError) -> Success {
    self?.begin()
    do throws(SluiceError) {
      let result = try await body()
      self?.end()
      return result
    } catch {
      self?.end(error)
      throw error
    }
  }

  /// Tells that what was copied is made valid, in which `body` does that.
  ///
  /// - Throws: what `body` throws.
  func publishing(_ body: () async throws(SluiceError) -> Void) async throws(SluiceError) {
    guard let self else { return try await body() }
    try await Observation(
      .publish, of: self.span.pid, round: self.span.round, within: self, by: self.observer
    )
    .during(body)
  }
}

extension ObservedMoment {
  /// This moment.
  static var now: ObservedMoment {
    var time = timespec()
    unsafe clock_gettime(CLOCK_REALTIME, &time)
    return ObservedMoment(
      nanosecondsSince1970: UInt64(clamping: time.tv_sec) &* 1_000_000_000 &+ UInt64(clamping: time.tv_nsec))
  }
}

extension PreparedRound.StopTimes {
  /// All parts together, in nanoseconds.
  var total: UInt64 { stopping + scanning + clearing + copying + resuming }
}
