internal import SluicePipeline
internal import SluiceTarget

/// Compares images with the memory of the processes that they are of, which stand still meanwhile.
///
/// One thread stops them and lets them go, another reads: so they go on in time whatever the reading of images waits for,
/// and whatever becomes of us.
public struct ContentsCheck: Sendable {
  /// The newest directory of the images' chain.
  public let directory: String
  /// The process that is compared with all of its descendants, by its pid in our pid namespace.
  public let pid: Int32
  /// Whether the links of the chain are followed whoever they belong to, and whoever may write where they lead.
  public var trustsParents = false
  /// How the states of pages are found.
  public var pageStates = PreDump.Configuration.PageStates.automatic
  /// How long the processes may be stopped, from the first attempt to stop one until all run again.
  public var stopTimeLimit = Duration.seconds(30)

  /// These images, of this process.
  public init(directory: String, pid: Int32) {
    self.directory = directory
    self.pid = pid
  }

  /// How many pages are as they should be, and how many are not.
  public struct Pages: Hashable, Sendable, Codable {
    /// The same in the images and in memory.
    public var equal: UInt64 = 0
    /// In both, with other contents.
    public var differing: UInt64 = 0
    /// In memory, and not in the images.
    public var missing: UInt64 = 0
    /// In the images, and not in memory any more: a restore leaves them out, so nothing is wrong with that.
    public var gone: UInt64 = 0

    static func += (total: inout Pages, other: Pages) {
      total.equal += other.equal
      total.differing += other.differing
      total.missing += other.missing
      total.gone += other.gone
    }
  }

  /// A mapping of which some pages are not as in the images.
  public struct Mapping: Hashable, Sendable, Codable {
    /// The first address.
    @Hexadecimal public private(set) var start: UInt64
    /// The address after the last.
    @Hexadecimal public private(set) var end: UInt64
    /// The path of the file, a name in brackets, or nothing.
    public let name: String
    /// Pages with other contents.
    public let differing: UInt64
    /// Pages that are not in the images.
    public let missing: UInt64
    /// Pages of the images that are not in memory any more.
    public let gone: UInt64
  }

  /// What became of one process.
  public struct ProcessReport: Hashable, Sendable, Codable {
    /// The process, by its pid in our pid namespace.
    public let pid: Int32
    /// The pid that its images are named by.
    public let namespacePid: Int32
    /// Whether there are images of it at all.
    public let hasImages: Bool
    /// All of its pages, with those that are gone together with their mapping.
    public internal(set) var pages = Pages()
    /// Those of the gone pages that no mapping of the process has a place for any more.
    public internal(set) var unmapped: UInt64 = 0
    /// Those mappings that are not as in the images.
    public internal(set) var mappings: [Mapping] = []
    /// Whether a restore would make of the images what the process has.
    public var isEqual: Bool { pages.differing == 0 && pages.missing == 0 }

    private enum CodingKeys: String, CodingKey {
      case pid
      case namespacePid = "namespace_pid"
      case hasImages = "has_images"
      case unmapped
      case mappings
    }

    init(pid: Int32, namespacePid: Int32, hasImages: Bool) {
      self.pid = pid
      self.namespacePid = namespacePid
      self.hasImages = hasImages
    }

    /// Reads the members of the pages among its own.
    public init(from decoder: any Decoder) throws {
      let container = try decoder.container(keyedBy: CodingKeys.self)
      pid = try container.decode(Int32.self, forKey: .pid)
      namespacePid = try container.decode(Int32.self, forKey: .namespacePid)
      hasImages = try container.decode(Bool.self, forKey: .hasImages)
      pages = try Pages(from: decoder)
      unmapped = try container.decode(UInt64.self, forKey: .unmapped)
      mappings = try container.decode([Mapping].self, forKey: .mappings)
    }

    /// Writes the members of the pages among its own.
    public func encode(to encoder: any Encoder) throws {
      try pages.encode(to: encoder)
      var container = encoder.container(keyedBy: CodingKeys.self)
      try container.encode(pid, forKey: .pid)
      try container.encode(namespacePid, forKey: .namespacePid)
      try container.encode(hasImages, forKey: .hasImages)
      try container.encode(unmapped, forKey: .unmapped)
      try container.encode(mappings, forKey: .mappings)
    }
  }

  /// What was found.
  public struct Report: Hashable, Sendable {
    /// One for each process of the tree.
    public let processes: [ProcessReport]
    /// How long the tree stood still, from the first attempt to stop a process of it until all of them ran again.
    public let stopped: Duration
  }

  /// Runs to the end. The processes stand still for some 3 s for each GiB, and what of them was written since the copy differs.
  ///
  /// - Returns: a report for each process of the tree.
  /// - Throws: `SluiceError`, as `compare`. The processes go on in any case.
  public func run() async throws(SluiceError) -> [ProcessReport] { try await compare().processes }

  /// Runs to the end, and measures the stop.
  ///
  /// If the time of the stop is over, and the images' disk does not answer for ten seconds, the thread that waits for the
  /// disk is left behind.
  ///
  /// - Throws: `SluiceError`: `notFound`, `malformedImages` or `io` of the images; `notFound`, `notPermitted` or `targetGone` of
  ///   the processes; `stoppedTooLong`, `cancelled`. The processes go on in any case.
  public func compare() async throws(SluiceError) -> Report {
    try PreDump.Configuration.check(stopTimeLimit: stopTimeLimit)
    let patience = Patience<Report>()
    do throws(SluiceError) {
      return try await patience.run { () async throws(SluiceError) in try await run(patience) }
    } catch {
      throw error.ifCancelled(is: "the comparison with the process")
    }
  }

  @concurrent
  private func run(_ patience: Patience<Report>) async throws(SluiceError) -> Report {
    let thread = try StageThreads.make("sluice-verify")
    defer { thread.shutdown() }
    let stopper = try StageThreads.make("sluice-stop")
    defer { stopper.shutdown() }
    let comparer = ContentsComparer(check: self, executor: thread)
    let holder = TreeHolder(executor: stopper)
    let stopped = try await holder.stop(try await comparer.open(), limit: stopTimeLimit) {
      patience.endNow(SluiceError($0))
    }
    let processes = try await withTaskGroup(of: End.self) { group in
      group.addTask { .compared(await comparer.result(of: stopped.tree, changed: stopped.changed)) }
      group.addTask { .overdue(await holder.waitUntilOverdue()) }
      var result: Result<[ProcessReport], SluiceError>?
      for await end in group {
        switch end {
        case .overdue(let error?):
          result = result ?? .failure(error)
          patience.endSoon(error)
        case .overdue(nil): break
        case .compared(let compared): result = result ?? compared
        }
        // The first to end ends the other; the tree runs by then, or runs with that.
        group.cancelAll()
      }
      return result ?? .failure(.cancelled)
    }.get()
    return Report(processes: processes, stopped: await holder.stoppedFor)
  }

  private enum End: Sendable {
    case compared(Result<[ProcessReport], SluiceError>)
    case overdue(SluiceError?)
  }
}
