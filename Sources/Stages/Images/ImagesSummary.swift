internal import SluiceImages

/// What an images directory holds, as far as memory is concerned. Encoded, it is what `sluice show` prints as JSON.
public struct ImagesSummary: Sendable, Codable {
  /// The memory of one process.
  public struct Process: Sendable, Codable {
    /// The pid in the process' own pid namespace, which the images are named by.
    public let pid: Int32
    /// The number in the name of the pages file.
    public let pagesID: UInt32
    /// Entries of the pagemap: runs of pages.
    public fileprivate(set) var entries: UInt64 = 0
    /// Pages whose bytes are in the pages file.
    public fileprivate(set) var pagesPresent: UInt64 = 0
    /// Pages whose bytes are in the parent's images.
    public fileprivate(set) var pagesInParent: UInt64 = 0
    /// The address of the first page; nil when there are none.
    public fileprivate(set) var lowestAddress: UInt64?
    /// The address after the last page.
    public fileprivate(set) var highestAddress: UInt64?
    /// The pages file's size in bytes, and what it takes on its disk; nil when there is no such file.
    public let fileBytes: UInt64?
    /// What the pages file takes on its disk, in bytes; holes take nothing.
    public let allocatedBytes: UInt64?

    private enum CodingKeys: String, CodingKey {
      case pid
      case pagesID = "pages_id"
      case entries
      case pagesPresent = "pages_present"
      case pagesInParent = "pages_in_parent"
      case lowestAddress = "lowest_address"
      case highestAddress = "highest_address"
      case fileBytes = "file_bytes"
      case allocatedBytes = "allocated_bytes"
    }
  }

  /// The directory, as it was named.
  public let path: String
  /// Whether there is what is written last: an inventory, or the mark of a page server. Without either a run was
  /// interrupted.
  public let isFinished: Bool
  /// Whether a page server has received the pages, and the inventory is where its client is.
  public let isReceived: Bool
  /// Whether no further round can build on the images, though they are finished: one that was to is under way, or was
  /// interrupted.
  public let isSetAside: Bool
  /// Why the images are not right by themselves: pages of them were given back (`DedupImages`). Nil where none were.
  public let deduplicated: String?
  /// How long the machine had been running when the dirty tracker was cleared.
  public var dumpUptime: Duration? { dumpUptimeMicroseconds.map { .microseconds(Int64(clamping: $0)) } }
  /// How long the machine had been running when the images were made, in microseconds; nil where they do not say.
  private let dumpUptimeMicroseconds: UInt64?
  /// "splice" or "read".
  public let preDumpMode: String?
  /// The text of the link to the parent's images.
  public let parent: String?
  /// The processes that there are pagemaps of, by pid.
  public let processes: [Process]

  private enum CodingKeys: String, CodingKey {
    case path = "images_dir"
    case isFinished = "finished"
    case isReceived = "received"
    case isSetAside = "set_aside"
    case deduplicated
    case dumpUptimeMicroseconds = "dump_uptime_us"
    case preDumpMode = "pre_dump_mode"
    case parent
    case processes = "tasks"
  }

  /// Reads a directory of images, by Sluice or by CRIU, on a thread of its own.
  ///
  /// - Throws: `SluiceError` with `notFound`, `malformedImages`, `io` or `cancelled`.
  public init(path: String) async throws(SluiceError) {
    self = try await BlockingWork.run("reading the images") { () throws(SluiceError) in
      try onImages { () throws(ImagesError) in try ImagesSummary(reading: ImagesDirectory(path: path)) }
    }
  }

  private init(reading directory: consuming ImagesDirectory) throws(ImagesError) {
    path = directory.path
    let completion = try directory.completion()
    let inventory = completion.inventory
    isReceived = completion == .received
    isFinished = inventory != nil || isReceived
    if case .setAside = completion { isSetAside = true } else { isSetAside = false }
    deduplicated = try directory.dedupMark()?.problem(of: path)
    dumpUptimeMicroseconds = inventory?.dumpUptime
    preDumpMode = inventory?.preDumpMode.map { $0 == .read ? "read" : "splice" }
    parent = try directory.parentLink()
    var processes: [Process] = []
    for pid in try directory.pids() {
      if let process = try Process(pid: pid, in: directory) { processes.append(process) }
    }
    self.processes = processes
    let isBegun = try directory.hasPartialFiles()
    guard inventory != nil || !processes.isEmpty || isBegun else {
      throw ImagesError(.noSuchDirectory, "\(path) holds no images")
    }
  }
}

extension ImagesSummary.Process {
  fileprivate init?(pid: Int32, in directory: borrowing ImagesDirectory) throws(ImagesError) {
    guard var pagemap = try PagemapImageReader(pid: pid, in: directory) else { return nil }
    self.pid = pid
    pagesID = pagemap.pagesID
    let file = try directory.pagesFile(id: pagesID)
    fileBytes = file?.byteCount
    allocatedBytes = file?.allocatedBytes
    while let run = try pagemap.next() {
      if entries.isMultiple(of: 4096) { try ImagesError.checkCancellation() }
      entries += 1
      lowestAddress = min(lowestAddress ?? run.address, run.address)
      highestAddress = max(highestAddress ?? 0, run.address &+ run.pageCount &* directory.pageSize)
      if run.flags.contains(.parent) { pagesInParent &+= run.pageCount }
      if run.flags.contains(.present) { pagesPresent &+= run.pageCount }
    }
  }
}
