internal import CSluiceLinux
internal import Logging
internal import SluiceImages
internal import SluicePipeline
internal import SluiceTarget

/// Writes ELF cores of running processes, which hardly notice: the memory is copied while they run, in rounds, and they stand
/// still only for what they have written meanwhile and for the registers of their threads.
///
/// ```swift
/// let report = try await CoreDump(.init(pid: 4711, path: "/var/tmp/core.{pid}")).run()
/// print(report.cores.map(\.path), report.stopped)
/// ```
public struct CoreDump: Sendable {
  /// What is to be written, whereto and how.
  public struct Configuration: Sendable {
    /// How the memory is copied: the budget, readers, the longest stop, where steps are told. What is about images means
    /// nothing here.
    public var copying: PreDump.Configuration
    /// The core file. {pid} and {name} in it stand for those of the process.
    public var path: String
    /// Whether the descendants of the process have cores as well, all of one moment; the path has {pid} in it then.
    public var includesDescendants = false
    /// Whether a file takes the place of one that is there.
    public var replacesFiles = false
    /// Which kinds of memory are in it; nil for what the process has asked the kernel for (/proc/PID/coredump_filter).
    public var filter: CoreFilter?
    /// How much of that memory is in it.
    public var extent = Extent.all
    /// A descriptor that the core is written to, whole, when it is finished: it needs no place to seek. The file at `path`
    /// is one without a name then, for as long as it takes; nil for a file that gets its name.
    public var stream: Int32?
    /// How the core is compressed when it is complete; until then it takes its room as it is. Nil for a core that a debugger
    /// reads as it is.
    public var compression: CoreCompression?
    /// Whether pids and thread ids are those of the process's own pid namespace, as the kernel has them in its cores.
    public var namesPidsInside = true
    /// When to end with rounds. Of `rounds`, which may be 0, none stops the processes; the stop comes after them.
    public var policy: RoundPolicy

    /// How much of the memory of a process is in its core.
    public enum Extent: String, Hashable, Sendable, CaseIterable {
      /// All that belongs there.
      case all
      /// The same without what only files have: a debugger that has the same files needs none of it.
      case withoutFiles
      /// What it takes to show the threads' calls: stacks, the memory that belongs to each thread, data of programs and
      /// libraries. It is copied in the stop, without rounds.
      case stacks
    }

    /// A core of a process; everything else as most want it.
    public init(pid: Int32, path: String) {
      copying = PreDump.Configuration(pid: pid, imagesDirectory: path)
      self.path = path
      policy = RoundPolicy()
      policy.rounds = Self.usualRounds
    }

    /// Rounds that do not come to their end in these hardly ever do.
    public static let usualRounds = 8
  }

  /// What is to be done.
  public let configuration: Configuration
  /// How far it has come, for those who want to watch.
  public let progress: ProgressFeed
  private let runtime: SluiceRuntime
  private let ownsRuntime: Bool

  /// Prepares a core; nothing happens before `run`.
  ///
  /// - Parameters:
  ///   - configuration: what is to be written, whereto and how. `run` checks it.
  ///   - runtime: what it works with, and shares a memory budget in; nil for a runtime of its own.
  ///   - progress: what is told how far it has come.
  public init(
    _ configuration: Configuration, in runtime: SluiceRuntime? = nil, progress: ProgressFeed = ProgressFeed()
  ) {
    self.configuration = configuration
    self.runtime = runtime ?? SluiceRuntime(memoryBudget: configuration.copying.memoryBudget)
    ownsRuntime = runtime == nil
    self.progress = progress
  }

  /// Writes the cores. Cancelling the task ends it early: no file is kept then, and the processes are as they were.
  ///
  /// - Parameter roundEnded: is called after each round, with its number, from a thread of the library's: it must not block.
  /// - Throws: `SluiceError`, as `PreDump.run`; `cannotCreate` for a file that is there, or has no place; `notConverging`.
  ///   Whatever goes wrong, there is no file by the name of the core.
  public func run(
    roundEnded: @escaping @Sendable (Int, PreDumpReport) -> Void = { _, _ in }
  ) async throws(SluiceError) -> CoreReport {
    defer { progress.finish() }
    let result = await Result { () async throws(SluiceError) in
      try await CoreRun(configuration, in: runtime, progress, roundEnded).run()
    }
    if ownsRuntime { await runtime.shutdown() }
    return try result.mapError { $0.ifCancelled(is: "the core dump") }.get()
  }
}

/// What was written. Encoded, it is what the command prints as JSON.
public struct CoreReport: Sendable, Codable {
  /// A core file.
  public struct Core: Sendable, Codable {
    /// The process, by the pid that we see it under.
    public let pid: Int32
    /// The file.
    public let path: String
    /// The threads that are in it.
    public let threads: Int
    /// Its parts of memory (PT_LOAD).
    public let segments: Int
    /// Its length in bytes, holes included.
    public let bytes: UInt64
    /// What it takes on the disk, in bytes.
    public let allocatedBytes: UInt64
    /// Its length as it was compressed, in bytes; nil where it was not.
    public let compressedBytes: UInt64?

    private enum CodingKeys: String, CodingKey {
      case pid, path, threads, segments, bytes
      case allocatedBytes = "allocated_bytes"
      case compressedBytes = "compressed_bytes"
    }
  }

  /// The core files, that of the named process first.
  public internal(set) var cores: [Core] = []
  /// The rounds, and last the one for which the processes stood still.
  public internal(set) var rounds: [PreDumpReport] = []
  /// From the call until the files had their names.
  @Microseconds public internal(set) var duration: Duration = .zero

  /// How long any of the processes stood still for the registers and the last pages.
  public var stopped: Duration { rounds.last?.stopped ?? .zero }

  private enum CodingKeys: String, CodingKey {
    case cores, rounds
    case duration = "duration_us"
  }
}
