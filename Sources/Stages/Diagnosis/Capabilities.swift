internal import SluiceImages
internal import SluiceTarget

/// What this kernel, these privileges, a process and a directory allow, and what Sluice does where something is
/// missing. Nothing is done to the process.
public struct Capabilities: Sendable {
  /// What a finding is about.
  public enum Subject: String, Sendable, Codable, CaseIterable {
    /// The process may be copied.
    case target
    /// No process outside of the tree shares memory with it.
    case sharedMemory = "CLONE_VM"
    /// New images can be made in the directory.
    case imagesDirectory = "images-dir"
    /// Its filesystem takes writes that go past the page cache.
    case directIO = "O_DIRECT"
    /// The kernel notes which pages are written, in the way that CRIU understands.
    case softDirty = "soft-dirty"
    /// The kernel merges none of the process' pages.
    case merging = "KSM"
    /// Nobody in the tree goes by soft-dirty bits.
    case softDirtyUse = "soft-dirty-use"
    /// There are no probes on the programs, or they leave soft-dirty bits.
    case probes = "uprobes"
    /// The kernel tells the states of many pages at once.
    case pagemapScan = "PAGEMAP_SCAN"
    /// The kernel tells of one mapping without listing all.
    case mappingQuery = "PROCMAP_QUERY"
    /// The kernel shows memory that a process itself may not read.
    case hiddenMemory = "PROT_NONE"
    /// The kernel notes which pages are written, by asynchronous write protection.
    case writeProtect = "userfaultfd-wp-async"
    /// The processes have room for the mappings that a watch of their writes may cost them.
    case mappings = "max_map_count"
    /// An io_uring can be made.
    case ioUring = "io_uring"
    /// The nodes of memory and processors.
    case numa = "NUMA"
    /// As much memory may be locked as the default budget has.
    case lockedMemory = "RLIMIT_MEMLOCK"
    /// Yama lets a user's processes look at each other.
    case ptraceScope = "ptrace_scope"
    /// Other users' processes may be read.
    case sysPtrace = "CAP_SYS_PTRACE"
    /// Page frame numbers are shown.
    case sysAdmin = "CAP_SYS_ADMIN"
  }

  /// One of the things that matter.
  public struct Finding: Sendable, Codable {
    /// What it is about.
    public let subject: Subject
    /// Whether it is there; nil when it could not be tried.
    public let isAvailable: Bool?
    /// What was found, in a few words.
    public let found: String
    /// What Sluice does without it; nil where it is there.
    public let fallback: String?
    /// How to get it; nil where it is there, or where nothing helps.
    public let advice: String?

    private enum CodingKeys: String, CodingKey {
      case subject
      case isAvailable = "available"
      case found
      case fallback
      case advice
    }

    init(
      _ subject: Subject, _ isAvailable: Bool?, _ found: String, fallback: String? = nil,
      advice: String? = nil
    ) {
      self.subject = subject
      self.isAvailable = isAvailable
      self.found = found
      self.fallback = isAvailable == true ? nil : fallback
      self.advice = isAvailable == true ? nil : advice
    }
  }

  /// What was found, one for each subject that was asked for.
  public private(set) var findings: [Finding] = []
  /// What a pre-dump would fail with first; nil where it would work as far as this can tell.
  public private(set) var failure: SluiceError?

  /// Tries everything, on a thread of its own: some ten milliseconds.
  ///
  /// - Parameters:
  ///   - pid: the process that a pre-dump is meant for; nil leaves the finding out.
  ///   - imagesDirectory: where its images would go, which need not be there yet; nil leaves the findings out. A
  ///     file is made there, or in the directory above, and removed again.
  /// - Throws: `SluiceError` with `cancelled`, or `system` when there is no thread. What is missing is in the findings.
  public static func find(
    for pid: Int32? = nil, imagesDirectory: String? = nil
  ) async throws(SluiceError) -> Capabilities {
    try await BlockingWork.run("looking at what there is") { () throws(SluiceError) in
      Capabilities(pid: pid, imagesDirectory: imagesDirectory)
    }
  }

  init(pid: Int32? = nil, imagesDirectory: String? = nil) {
    // In the order of a pre-dump, so that the first failure is the one that it would have.
    let tree = pid.flatMap { tryTarget($0) }
    if let tree { trySharedMemory(tree) }
    if let imagesDirectory { tryOutput(imagesDirectory, for: tree) }
    trySoftDirty(tree)
    if let tree {
      tryWhatHidesWrites(tree)
      tryMappings(tree)
    }
    tryKernel()
    tryNodes()
    tryPrivileges()
  }

  /// Whether this kernel keeps soft-dirty bits, without which CRIU cannot build on images.
  ///
  /// - Throws: `SluiceError` with `cancelled`, or `system` when it cannot be found out.
  package static func keepsSoftDirtyBits() async throws(SluiceError) -> Bool {
    try await BlockingWork.run("looking for soft-dirty bits") { () throws(SluiceError) in
      try onTarget { () throws(TargetError) in try SoftDirty.isSupported() }
    }
  }

  /// Whether there is such a thing; nil when it was not asked for, or could not be tried.
  public func has(_ subject: Subject) -> Bool? {
    findings.first { $0.subject == subject }?.isAvailable
  }

  mutating func add(_ finding: Finding) {
    findings.append(finding)
  }

  /// Notes what a pre-dump would fail with.
  mutating func fail(with error: SluiceError) {
    failure = failure ?? error
  }
}
