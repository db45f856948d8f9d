/// Is told what dumps, rounds, cores and page servers do, for metrics, traces and logs: `observer` of their configurations.
///
/// Each function has a default that does nothing, so a type implements those that it wants. They are called from threads of
/// the library, several at once where several runs share an observer, and what calls them waits: they must be quick and may
/// not block. None is called for each page or chunk: what is so frequent is summed up, and told at the end of the round.
/// Nothing is called while processes are held still, but for what comes after a last round that leaves them stopped: it
/// would make the stop longer.
public protocol SluiceObserver: Sendable {
  /// Something has begun.
  ///
  /// - Parameters:
  ///   - span: what has begun.
  ///   - moment: when it began. A stop is told when it has ended, and not at all where the processes are left stopped.
  func began(_ span: ObservedSpan, at moment: ObservedMoment)

  /// What `began` was called for has ended.
  ///
  /// - Parameters:
  ///   - span: what has ended.
  ///   - moment: when it ended.
  ///   - failure: why it failed; nil where it did not.
  func ended(_ span: ObservedSpan, at moment: ObservedMoment, failure: SluiceError?)

  /// How long operations of one kind took that belong to a span, all since the last call for that kind and span.
  func took(_ durations: DurationHistogram, _ operation: ObservedOperation, in span: ObservedSpan)

  /// Pages of one kind were counted, in a round that is complete, or in a page server's session. Kinds without pages are not
  /// told.
  func counted(_ pages: UInt64, _ kind: ObservedPages, in span: ObservedSpan)

  /// A round or session has got its parts of the memory budget, in place of those that it had before; none when it gives
  /// them back. Where several share a budget, the buffers of this one may become fewer meanwhile.
  func holds(_ parts: [ObservedMemory], in span: ObservedSpan)

  /// A round is complete, all that it has copied is valid, and its durations and pages were told.
  func completed(_ report: PreDumpReport, in span: ObservedSpan)
}

extension SluiceObserver {
  /// Does nothing.
  public func began(_ span: ObservedSpan, at moment: ObservedMoment) {}
  /// Does nothing.
  public func ended(_ span: ObservedSpan, at moment: ObservedMoment, failure: SluiceError?) {}
  /// Does nothing.
  public func took(_ durations: DurationHistogram, _ operation: ObservedOperation, in span: ObservedSpan) {}
  /// Does nothing.
  public func counted(_ pages: UInt64, _ kind: ObservedPages, in span: ObservedSpan) {}
  /// Does nothing.
  public func holds(_ parts: [ObservedMemory], in span: ObservedSpan) {}
  /// Does nothing.
  public func completed(_ report: PreDumpReport, in span: ObservedSpan) {}
}

/// Something that takes its time: a run, or a part of one.
public struct ObservedSpan: Hashable, Sendable, Identifiable {
  /// The kinds.
  public enum Kind: String, Hashable, Sendable, CaseIterable {
    /// A pre-dump, all rounds of `withPreDumpRounds`, or a core.
    case run
    /// One round of a run; a pre-dump by itself is one round.
    case round
    /// Processes were stopped, in a round.
    case stop
    /// What was copied is made valid, in a round.
    case publish
    /// One session of a page server.
    case session
  }

  /// Tells it from all others of this program.
  public let id: UInt64
  /// The `id` of the span that it is a part of; nil where it is none of another's.
  public let parent: UInt64?
  /// What it is.
  public let kind: Kind
  /// The process that is copied with its descendants, by its pid in our pid namespace; nil for a page server.
  public let pid: Int32?
  /// The number of the round, from 1; nil where there is but one, or none.
  public let round: Int?

  /// A span as a test of an observer may need it.
  public init(id: UInt64, parent: UInt64? = nil, kind: Kind, pid: Int32? = nil, round: Int? = nil) {
    self.id = id
    self.parent = parent
    self.kind = kind
    self.pid = pid
    self.round = round
  }
}

/// A moment by the wall clock.
public struct ObservedMoment: Hashable, Comparable, Sendable {
  /// Nanoseconds since 1970.
  public let nanosecondsSince1970: UInt64

  /// A moment so many nanoseconds after 1970 began.
  public init(nanosecondsSince1970: UInt64) { self.nanosecondsSince1970 = nanosecondsSince1970 }

  /// Whether one is before another.
  public static func < (one: ObservedMoment, other: ObservedMoment) -> Bool {
    one.nanosecondsSince1970 < other.nanosecondsSince1970
  }
}

/// What durations are told of.
public enum ObservedOperation: String, Hashable, Sendable, CaseIterable {
  /// Processes were stopped, from the first attempt to stop one until all ran again.
  case stop
  /// The record of written pages was reset, of all processes of a round.
  case clear
  /// One thread was stopped to begin tracking.
  case injection
  /// A chunk was read.
  case read
  /// A chunk was handed to its sink. A sink that writes later waits here for room alone.
  case write
  /// A chunk was sent to a page server.
  case send
}

/// Kinds of pages, by the fields of `PreDumpReport` that have the same figures.
public enum ObservedPages: String, Hashable, Sendable, CaseIterable {
  /// Copied (`pagesWritten`).
  case copied
  /// Copied, and all zeros (`pagesZero`).
  case zero
  /// Left to an earlier round (`pagesSkippedParent`).
  case parent
  /// Found, and gone before they could be read (`pagesVanished`).
  case vanished
  /// Copied though the process itself may not read them (`pagesForced`).
  case forced
  /// In swap when they were found (`pagesSwapped`).
  case swapped
  /// Left out (`pagesSkipped`).
  case leftOut = "left_out"
}

/// A part of the memory budget.
public struct ObservedMemory: Hashable, Sendable {
  /// What it is for, such as "buffers"; of the same few words in all runs.
  public let purpose: String
  /// In bytes.
  public let byteCount: Int

  /// A part as a test of an observer may need it.
  public init(purpose: String, byteCount: Int) {
    self.purpose = purpose
    self.byteCount = byteCount
  }
}
