internal import CSluiceLinux
internal import SluicePipeline
internal import SluiceTarget

/// Measures how much a process and its descendants write, and where, by asynchronous write protection. One thread of
/// each stands still for about a tenth of a millisecond in the beginning, and the first write to each page takes about
/// a microsecond longer.
public struct DirtyRate: Sendable {
  /// The process that is measured with all of its descendants, by its pid in our pid namespace.
  public let pid: Int32
  /// For how long, in seconds.
  public var seconds = 10.0
  /// Whether the kernel's soft-dirty bits are cleared and read instead, which stops no thread and which Linux before 6.7
  /// has, too. A chain of images that is being made of the process, by Sluice or by CRIU, goes by these bits: it would
  /// lack what was written before.
  public var clearsSoftDirty = false

  /// Of this process.
  public init(pid: Int32) {
    self.pid = pid
  }

  /// A mapping that was written to.
  public struct Mapping: Hashable, Sendable, Codable {
    /// The process, by its pid in our pid namespace.
    public let pid: Int32
    /// The first address.
    @Hexadecimal public private(set) var start: UInt64
    /// The address after the last.
    @Hexadecimal public private(set) var end: UInt64
    /// The path of the file, a name in brackets, or nothing.
    public let name: String
    /// Different pages that were written in the longest window.
    public let pages: UInt64
    /// How many that was in a second.
    public let pagesPerSecond: Double

    private enum CodingKeys: String, CodingKey {
      case pid
      case start
      case end
      case name
      case pages
      case pagesPerSecond = "pages_per_second"
    }

    init(_ vma: VMA, of pid: Int32, pages: UInt64, in duration: Duration) {
      self.pid = pid
      start = vma.start
      end = vma.end
      name = vma.name
      self.pages = pages
      pagesPerSecond = Double(pages) / duration.inSeconds
    }
  }

  /// What was measured.
  public struct Report: Hashable, Sendable, Codable {
    /// The process that was measured with its descendants, by its pid in our pid namespace.
    public let pid: Int32
    /// How much, as it was measured, in windows from short to long. Processes do not write evenly: a longer one may have
    /// fewer pages.
    public let windows: [DirtyRateModel.Window]
    /// The pages that a first round would copy.
    public let totalPages: UInt64
    /// The size of a page in bytes.
    public let pageSize: UInt64
    /// Where, in the longest window: those that were written most first.
    public let mappings: [Mapping]
    /// What told of the writes: `softDirty` or `writeProtect`.
    public let tracker: PreDumpReport.Tracker
    /// Processes that were measured to the end.
    public let processes: Int
    /// Gaps up to so many bytes between written pages were taken for written, since their list became too long; 0 as
    /// a rule.
    public let joinedGap: UInt64
    /// Different pages a second, in the longest window.
    public let pagesPerSecond: Double
    /// Bytes of these.
    public let bytesPerSecond: Double
    /// What follows from that for rounds.
    public var model: DirtyRateModel { DirtyRateModel(totalPages: totalPages, windows: windows) }

    private enum CodingKeys: String, CodingKey {
      case pid
      case windows
      case totalPages = "total_pages"
      case pageSize = "page_size"
      case mappings
      case tracker
      case processes
      case joinedGap = "joined_gap"
      case pagesPerSecond = "pages_per_second"
      case bytesPerSecond = "bytes_per_second"
    }
  }

  /// Runs to the end of the time, on a thread of its own. It takes 4 MiB, and looks at page tables once in each window: some
  /// milliseconds for each GiB.
  ///
  /// - Throws: `SluiceError`: `system` where the kernel does not tell what is written, `notTrackable` where that
  ///   cannot be found out of one of the processes.
  public func run() async throws(SluiceError) -> Report {
    guard seconds > 0, seconds <= 86_400 else {
      throw SluiceError(.invalidArgument, "the time to measure must be above 0 and at most a day")
    }
    let thread = try StageThreads.make("sluice-rate")
    defer { thread.shutdown() }
    return try await DirtySampler(measurement: self, executor: thread).run()
  }
}

extension DirtyRate {
  /// Measures again and again, until the task is cancelled or `body` has seen enough. Writes are tracked all the while, so
  /// that threads are stopped once, in the beginning.
  ///
  /// - Parameters:
  ///   - interval: the length of each window, in seconds; `seconds` is not used.
  ///   - body: is given a report for each window, and says whether to go on. It is on no actor; the next window begins when it
  ///     has returned.
  /// - Throws: `SluiceError`: as `run`, `cancelled` when the task is.
  public func watch(
    every interval: Double, _ body: @escaping @Sendable (Report) async -> Bool
  ) async throws(SluiceError) {
    guard interval > 0, interval <= 86_400 else {
      throw SluiceError(.invalidArgument, "the time to measure must be above 0 and at most a day")
    }
    let thread = try StageThreads.make("sluice-rate")
    defer { thread.shutdown() }
    try await DirtySampler(measurement: self, executor: thread).watch(interval, body)
  }
}

/// Does the measuring, on a thread of its own: clearing bits and looking at page tables block.
private actor DirtySampler {
  private struct Sampled {
    let process: TargetProcess
    let sampler: any WriteSampler
  }

  private nonisolated let executor: ThreadExecutor
  private let measurement: DirtyRate
  private let claims = SoftDirtyClaims()
  private var processes: [Sampled] = []
  private var joinedGap: UInt64 = 0
  private let pageSize = UInt64(sluice_page_size())
  private static let setBytes = 4 << 20

  nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe executor.asUnownedSerialExecutor() }

  init(measurement: DirtyRate, executor: ThreadExecutor) {
    self.measurement = measurement
    self.executor = executor
  }

  func run() async throws(SluiceError) -> DirtyRate.Report {
    let tree = try onTarget { () throws(TargetError) in try ProcessTree(root: measurement.pid) }
    try begin(tree)
    let ownBytes = try ownMemoryBytes(of: tree)
    var windows: [DirtyRateModel.Window] = []
    var mappings: [DirtyRate.Mapping] = []
    for seconds in DirtyRateModel.windowLengths(in: measurement.seconds) {
      let (window, written) = try await measure(seconds)
      mappings = written
      windows.append(window)
    }
    return report(windows, mappings, ownBytes: ownBytes)
  }

  func watch(
    _ interval: Double, _ body: @Sendable (DirtyRate.Report) async -> Bool
  ) async throws(SluiceError) {
    let tree = try onTarget { () throws(TargetError) in try ProcessTree(root: measurement.pid) }
    try begin(tree)
    while true {
      let (window, mappings) = try await measure(interval)
      // The process may have grown.
      let report = report([window], mappings, ownBytes: try ownMemoryBytes(of: tree))
      guard await body(report) else { return }
    }
  }

  private func ownMemoryBytes(of tree: ProcessTree) throws(SluiceError) -> UInt64 {
    try onTarget { () throws(TargetError) in try tree.ownMemoryBytes() }
  }

  /// Counts what is written in one window.
  private func measure(
    _ seconds: Double
  ) async throws(SluiceError) -> (DirtyRateModel.Window, [DirtyRate.Mapping]) {
    try forEachProcess { (process) throws(TargetError) in try process.sampler.begin() }
    let began = sluice_monotonic_nanoseconds()
    try await wait(seconds)
    let took = Duration.nanoseconds(counted: sluice_monotonic_nanoseconds() - began)
    var mappings: [DirtyRate.Mapping] = []
    try forEachProcess { (process) throws(TargetError) in mappings += try written(of: process, in: took) }
    return (
      DirtyRateModel.Window(duration: took, pages: mappings.reduce(0) { $0 + $1.pages }), mappings
    )
  }

  private func report(
    _ windows: [DirtyRateModel.Window], _ mappings: [DirtyRate.Mapping], ownBytes: UInt64
  ) -> DirtyRate.Report {
    let rate = windows.last.map { Double($0.pages) / $0.duration.inSeconds } ?? 0
    return DirtyRate.Report(
      pid: measurement.pid, windows: windows, totalPages: ownBytes / pageSize, pageSize: pageSize,
      mappings: mappings.sorted { ($1.pages, $0.pid, $0.start) < ($0.pages, $1.pid, $1.start) },
      tracker: measurement.clearsSoftDirty ? .softDirty : .writeProtect, processes: processes.count,
      joinedGap: joinedGap, pagesPerSecond: rate, bytesPerSecond: rate * Double(pageSize))
  }

  /// Has the writes of all processes tracked.
  private func begin(_ tree: ProcessTree) throws(SluiceError) {
    let reason = "measuring what process \(measurement.pid) writes takes a kernel that"
    if measurement.clearsSoftDirty {
      guard try onTarget({ () throws(TargetError) in try SoftDirty.isSupported() }) else {
        throw SluiceError(.system, "\(reason) keeps soft-dirty bits (CONFIG_MEM_SOFT_DIRTY)")
      }
      var doubts = try SoftDirtyDoubts(about: tree.processes)
      try doubts.claim(tree.processes, for: claims)
      try doubts.checkMayClear()
      processes = tree.processes.map { Sampled(process: $0, sampler: SoftDirtySampler(of: $0)) }
      return
    }
    guard case .yes = KernelSupport.asynchronousWriteProtect() else {
      throw SluiceError(
        .system,
        "\(reason) protects memory asynchronously (Linux 6.7), or one with soft-dirty bits, which may be cleared (clearsSoftDirty; --clear-soft-dirty)"
      )
    }
    var injector = Injector()
    for process in tree.processes {
      do throws(TargetError) {
        processes.append(
          Sampled(process: process, sampler: try WriteProtectSampler(of: process, by: &injector)))
      } catch {
        guard error.isOfEnd, process.pid != measurement.pid else { throw SluiceError(error) }
      }
    }
  }

  /// Runs `body` for each process. Descendants that have ended meanwhile are measured no longer.
  private func forEachProcess(_ body: (Sampled) throws(TargetError) -> Void) throws(SluiceError) {
    var kept: [Sampled] = []
    for sampled in processes {
      do throws(TargetError) {
        try body(sampled)
        kept.append(sampled)
      } catch {
        guard error.code == .gone, sampled.process.pid != measurement.pid else { throw SluiceError(error) }
      }
    }
    processes = kept
  }

  private func wait(_ seconds: Double) async throws(SluiceError) {
    do {
      try await Task.sleep(for: .seconds(seconds))
    } catch {
      throw SluiceError(.cancelled, "the measurement was cancelled")
    }
  }

  /// What a process has written in some time, mapping by mapping.
  private func written(
    of sampled: Sampled, in duration: Duration
  ) throws(TargetError) -> [DirtyRate.Mapping] {
    var set = DirtySet(byteCount: Self.setBytes, processCount: 1)
    set.beginProcess()
    try sampled.sampler.collect(into: &set)
    try sampled.process.checkStillTheSame()
    joinedGap = max(joinedGap, set.joinedGap)
    var cursor = set.cursor(ofProcess: 0)
    var map = MemoryMap(of: sampled.process)
    var mappings: [DirtyRate.Mapping] = []
    while let vma = try map.next() {
      var (position, bytes) = (vma.start, UInt64(0))
      while position < vma.end {
        let part = cursor.next(in: position..<vma.end)
        if part.isDirty { bytes += part.end - position }
        position = part.end
      }
      guard bytes > 0 else { continue }
      mappings.append(
        DirtyRate.Mapping(vma, of: sampled.process.pid, pages: bytes / pageSize, in: duration))
    }
    return mappings
  }
}
