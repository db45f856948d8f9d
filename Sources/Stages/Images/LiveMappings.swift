internal import CSluiceLinux
internal import SluiceImages
internal import SluiceTarget

/// The mappings of a process that lives, from low addresses to high ones, and how much of each is in images.
///
/// The process goes on meanwhile, so this is an approach, and no proof: `ContentsCheck` stops it and compares.
/// Nothing is done to it, and its memory is not read, only the states of its pages.
///
/// It is not asynchronous: making it and each `next` block for as long as the kernel takes for a mapping's page tables, some
/// milliseconds for each GiB. It belongs to one thread or actor.
public final class LiveMappings {
  /// How many pages are where.
  public struct Pages: Hashable, Sendable, Codable {
    /// In the images themselves.
    public internal(set) var present: UInt64 = 0
    /// In those of the parent.
    public internal(set) var inParent: UInt64 = 0
    /// In the process, and neither in the images nor in the parent's: what a new round would copy at least.
    public internal(set) var missing: UInt64 = 0

    private enum CodingKeys: String, CodingKey {
      case present = "pages_present"
      case inParent = "pages_in_parent"
      case missing = "pages_missing"
    }
  }

  /// A mapping of the process.
  public struct Mapping: Hashable, Sendable, Codable {
    /// The first address.
    @Hexadecimal public private(set) var start: UInt64
    /// The address after the last.
    @Hexadecimal public private(set) var end: UInt64
    /// What the process may do with it, as in /proc/PID/maps: "rw-p".
    public let permissions: String
    /// The path of the file, a name in brackets, or nothing.
    public let name: String
    /// Why a pre-dump takes nothing of it, such as "shared"; nil where it does.
    public let skipped: String?
    /// Its pages.
    public internal(set) var pages = Pages()

    private enum CodingKeys: CodingKey {
      case start
      case end
      case permissions
      case name
      case skipped
    }

    init(_ vma: VMA, skipped: SkipReason?) {
      start = vma.start
      end = vma.end
      permissions =
        (vma.isReadable ? "r" : "-") + (vma.isWritable ? "w" : "-") + (vma.isExecutable ? "x" : "-")
        + (vma.isShared ? "s" : "p")
      name = vma.name
      self.skipped = skipped?.rawValue
    }

    /// Reads the members of the pages among its own.
    public init(from decoder: any Decoder) throws {
      let container = try decoder.container(keyedBy: CodingKeys.self)
      _start = try container.decode(Hexadecimal.self, forKey: .start)
      _end = try container.decode(Hexadecimal.self, forKey: .end)
      permissions = try container.decode(String.self, forKey: .permissions)
      name = try container.decode(String.self, forKey: .name)
      skipped = try container.decodeIfPresent(String.self, forKey: .skipped)
      pages = try Pages(from: decoder)
    }

    /// Writes the members of the pages among its own.
    public func encode(to encoder: any Encoder) throws {
      try pages.encode(to: encoder)
      var container = encoder.container(keyedBy: CodingKeys.self)
      try container.encode(_start, forKey: .start)
      try container.encode(_end, forKey: .end)
      try container.encode(permissions, forKey: .permissions)
      try container.encode(name, forKey: .name)
      try container.encodeIfPresent(skipped, forKey: .skipped)
    }
  }

  /// The process, by its pid in our pid namespace.
  public let pid: Int32
  /// The name of its program.
  public let command: String
  /// Whether the images are of this very process.
  public let owner: ImagesOwner
  /// Pages in the images, or the parent's, that no mapping of the process has any more; complete after the last mapping.
  public private(set) var gone: UInt64 = 0

  private let process: TargetProcess
  private let pageSize: UInt64
  private let entries: EntryReader
  private var rest: ImageEntries.Entry?
  private var walk: PageWalk

  /// - Parameters:
  ///   - path: the images directory.
  ///   - namespacePid: which process of the images, by the pid in its own pid namespace.
  ///   - pid: the process, by its pid in our pid namespace; nil where that is the same.
  /// - Throws: `SluiceError`: `notFound` when there is no such process, or no images of it; `invalidArgument`
  ///   when the process has another pid in its namespace.
  public init(path: String, namespacePid: Int32, pid: Int32? = nil) throws(SluiceError) {
    let pid = pid ?? namespacePid
    let (inventory, tracked): (Inventory?, TrackedProcesses?)
    do throws(ImagesError) {
      let directory = try ImagesDirectory(path: path)
      entries = try EntryReader(in: directory, pid: namespacePid)
      tracked = try directory.tracked()
      if case .complete(let found) = try directory.completion() { inventory = found } else { inventory = nil }
    } catch {
      throw SluiceError(error)
    }
    pageSize = entries.pageSize
    do throws(TargetError) {
      process = try TargetProcess(pid: pid)
      let bootID = try Uptime.bootID()
      owner = ImagesOwner(
        pid: namespacePid, startTime: process.startTime, machineStartTime: process.machineStartTime,
        bootID: bootID,
        ticksPerSecond: Uptime.ticksPerSecond,
        inventory: inventory, tracked: tracked)
      walk = try PageWalk(of: process)
    } catch {
      throw SluiceError(error)
    }
    self.pid = pid
    command = process.command
    guard process.namespacePid == namespacePid else {
      throw SluiceError(
        .invalidArgument,
        "process \(pid) has the pid \(process.namespacePid) in its pid namespace, but the images are of pid \(namespacePid)"
      )
    }
  }

  /// The next mapping; nil after the last.
  ///
  /// - Throws: `SluiceError`: `targetGone` when the process has ended meanwhile.
  public func next() throws(SluiceError) -> Mapping? {
    guard let (vma, treatment) = try onTarget({ () throws(TargetError) in try walk.nextMapping() }) else {
      var above = Pages()
      try take(below: UInt64.max, into: &above)
      gone += above.present + above.inParent
      try onTarget { () throws(TargetError) in try process.checkStillTheSame() }
      return nil
    }
    var below = Pages()
    try take(below: vma.start, into: &below)
    gone += below.present + below.inParent
    var skipped: SkipReason?
    if case .skip(let reason) = treatment { skipped = reason }
    var mapping = Mapping(vma, skipped: skipped)
    try countPages(into: &mapping.pages)
    try take(below: vma.end, into: &mapping.pages)
    return mapping
  }

  /// Counts the pages that the process has in the mapping that the walk is at, and those that the images have of it,
  /// up to the last page of the process.
  private func countPages(into pages: inout Pages) throws(SluiceError) {
    while try onTarget({ () throws(TargetError) in try walk.nextOfMapping() }) {
      for index in walk.runs.indices {
        let run = walk.runs[index].run
        try take(below: run.address, into: &pages)
        let before = pages.present + pages.inParent
        try take(below: run.address + run.length, into: &pages)
        pages.missing += run.length / pageSize - (pages.present + pages.inParent - before)
      }
    }
  }

  /// Passes all pages of the images below an address, and counts them.
  private func take(below end: UInt64, into pages: inout Pages) throws(SluiceError) {
    while true {
      if rest == nil { rest = try entries.next() }
      guard let entry = rest else { return }
      guard entry.address < end else { return }
      let count = min(entry.pageCount, (end - entry.address) / pageSize)
      switch entry.place {
      case .present: pages.present += count
      case .parent: pages.inParent += count
      case .nowhere: break
      }
      rest =
        count == entry.pageCount
        ? nil
        : ImageEntries.Entry(
          address: entry.address + count * pageSize, pageCount: entry.pageCount - count, place: entry.place)
    }
  }
}
