internal import CSluiceLinux
internal import Glibc
public import Logging
internal import SluicePipeline
internal import SluiceTarget

extension PreDump {
  /// What to copy, where to, and how.
  public struct Configuration: Sendable {
    /// How the states of pages are found.
    public enum PageStates: Sendable {
      /// The best that the kernel has.
      case automatic
      /// PAGEMAP_SCAN (Linux 6.7).
      case pagemapScan
      /// The entries of /proc/PID/pagemap.
      case pagemap
    }

    /// What tells which pages were written since the last round.
    public enum Tracker: Sendable {
      /// The best that the kernel has.
      case automatic
      /// The soft-dirty bit, which CRIU's final dump understands too.
      case softDirty
      /// Asynchronous write protection (Linux 6.7), of which the processes notice a stop of one thread for a tenth of
      /// a millisecond, once. It ends with the rounds of one run (`PreDumpRounds`); nothing later can build on them.
      case writeProtect
      /// The soft-dirty bit and write protection together: no round stops the processes, and CRIU's final dump can build
      /// on the images.
      case both
      /// The contents of the pages: all are read in each round and compared, by a hash of 128 bits, with those of the
      /// last. It needs nothing of the kernel, and later runs can build on the images, but CRIU cannot.
      case content
      /// Nothing: everything is copied, and later rounds cannot build on it.
      case none
    }

    /// What becomes of pages that are in swap.
    public enum Swapped: Sendable {
      /// They are copied. The kernel reads them back into the memory of the process, and of its cgroup.
      case read
      /// They are left out. CRIU's final dump then refuses the images as a parent, unless the process has
      /// written to all of these pages since.
      case skip
    }

    /// The way that pages take to the disk.
    public enum IO: Sendable {
      /// Past the page cache where the filesystem can, else through it.
      case automatic
      /// Past the page cache (O_DIRECT), or not at all.
      case direct
      /// Through the page cache, from which they are dropped once they are on the disk.
      case buffered
      /// Through the page cache, and they stay there: nobody waits for the disk, as with CRIU itself. Until the kernel has
      /// written them, a machine that goes down takes them with it; the memory is the page cache's, beyond the budget.
      case cached
      /// Nowhere: no images are made, to measure how fast the memory can be read.
      case discard

      /// Whether pages go past the page cache where the filesystem can.
      var isDirect: Bool { self == .automatic || self == .direct }
    }

    /// What does the writes.
    public enum WriteEngine: Sendable {
      /// io_uring where the kernel gives us one, else threads.
      case automatic
      /// pwrite on threads.
      case threads
    }

    /// What becomes of readers and buffers on a machine of several nodes of memory and processors (NUMA).
    public enum NUMA: Sendable {
      /// Each node has readers and buffers of its own, which copy what the node holds. On a machine with one node there is
      /// nothing of that.
      case automatic
      /// The kernel chooses where they are.
      case off
    }

    /// The process that is copied with all of its descendants, by its pid in our pid namespace.
    public var pid: Int32
    /// The directory for the images. It is made where there is none, and must hold no images.
    public var imagesDirectory: String
    /// The page server that the pages go to; the images directory has what belongs to them. Nil where they go into the images
    /// directory.
    public var pageServer: PageServerTarget?
    /// Earlier images of the same processes, which the new ones build on: pages that nothing wrote since are left
    /// to them. Nil copies everything.
    public var parentDirectory: String?
    /// Whether the links of the chain are followed, and its files written (`sluice dedup`), whoever they belong to.
    ///
    /// Without that, nobody leads us to what is not theirs, and the directories are those that nobody else may write.
    public var trustsParents = false
    /// What tells which pages were written.
    public var tracker = Tracker.automatic
    /// The cgroup of version 2 that holds the processes, if it is to be frozen rather than each thread stopped, where
    /// a stop is needed.
    public var freezeCgroup: String?
    /// Whether the cgroup of version 2 that holds the processes and nobody else is looked for and frozen, where there is one.
    /// Not where a last round leaves them stopped.
    public var findsFreezeCgroup = false
    /// How long the processes may be stopped, where a stop is needed: from the first attempt to stop one until all run
    /// again. A round that would take longer fails, and they run on.
    public var stopTimeLimit = Duration.seconds(30)
    /// The memory for everything that could grow, in bytes. What it does not cover is the constant base of
    /// the program. A run in a `SluiceRuntime` has that of the runtime instead.
    public var memoryBudget: Int
    /// How many threads read the process' memory.
    ///
    /// One reads some 9 GB/s, which no disk and few networks take; each more costs the process itself memory
    /// bandwidth and a core. So one, unless the images go to memory or to a fast array.
    ///
    /// On a machine of several nodes it is so many on each, unless `numa` is off.
    public var readers = 1
    /// How many threads read on which node, by the nodes' numbers, instead of `readers` on each: what other nodes hold is read
    /// by those of the nearest.
    public var readersOnNodes: [Int: Int] = [:]
    /// What becomes of readers and buffers on a machine of several nodes.
    public var numa = NUMA.automatic
    /// More would never be of use.
    public static let possibleReaders = 1...256
    /// How many threads read in a last round, while the processes stand still: theirs are idle then, and each
    /// moment counts. Nil for as many as this program has processors.
    public var stopReaders: Int?
    /// How many writes are in flight at most.
    ///
    /// Eight of 1 MiB keep a disk busy while completions are dealt with; more have not been measured to help.
    public var queueDepth = 8
    /// More would never be of use.
    public static let possibleQueueDepths = 1...1024
    /// The way that pages take to the disk.
    public var io = IO.automatic
    /// What does the writes.
    public var writeEngine = WriteEngine.automatic
    /// How fast pages are written, or sent, at most, in rounds that leave the processes running; nil for no limit.
    public var rateLimit: RateLimit?
    /// Whether the kernel pins the buffers once rather than for each write. Where it refuses (RLIMIT_MEMLOCK),
    /// writes go without.
    public var registersBuffers = true
    /// Whether to wait until the images are on the disk before they are declared valid.
    public var syncs = true
    /// Where the states of pages come from.
    public var pageStates = PageStates.automatic
    /// What becomes of pages that are in swap.
    public var swapped = Swapped.read
    /// How long one read of the process' memory may take, a second at least. A read can wait for whoever answers page
    /// faults of the process (userfaultfd); then the run is given up, and a thread left behind that ends with the read.
    public var readTimeLimit = Duration.seconds(30)
    /// Is told what is done, how long it takes and how much memory it has; nil for nobody.
    public var observer: (any SluiceObserver)?
    /// Receives log messages.
    public var logger = Logger(label: "sluice", factory: { _ in SwiftLogNoOpLogHandler() })

    /// A process whose memory goes to a sink; all other settings get their defaults.
    ///
    /// - Parameters:
    ///   - pid: the process, by its pid in our pid namespace.
    ///   - memoryBudget: in bytes; not used with a `SluiceRuntime`, which has its own.
    public init(pid: Int32, memoryBudget: Int = 64 << 20) {
      self.init(pid: pid, imagesDirectory: "", memoryBudget: memoryBudget)
    }

    /// A process whose memory goes into images; all other settings get their defaults.
    ///
    /// - Parameters:
    ///   - pid: the process, by its pid in our pid namespace.
    ///   - imagesDirectory: where its images go.
    ///   - memoryBudget: in bytes; not used with a `SluiceRuntime`, which has its own.
    public init(pid: Int32, imagesDirectory: String, memoryBudget: Int = 64 << 20) {
      self.pid = pid
      self.imagesDirectory = imagesDirectory
      self.memoryBudget = memoryBudget
    }

    /// Is called once the round has failed, and everything runs again: from then on it is only waited for to clean up.
    var failed: @Sendable (SluiceError) -> Void = { _ in }
    /// Is called when the processes stand still for longer than they may, because the thread that holds them does not come
    /// back from the kernel.
    var stuck: @Sendable (TargetError) -> Void = { _ in }

    /// Tells that a cgroup could not be thawed, which nothing may keep quiet.
    var reportThaw: @Sendable (TargetError) -> Void {
      { [logger] error in logger.error("\(error)") }
    }

    /// The readers of a last round.
    var readersOfStop: Int {
      stopReaders ?? min(Topology.usableProcessorCount, Self.possibleReaders.upperBound)
    }

    /// No limit of time is longer: sums of several are times, too.
    static let longestTime = Duration.seconds(1_000_000_000)

    /// Makes sure that processes may be stopped at all.
    ///
    /// - Throws: `SluiceError` with `invalidArgument`.
    static func check(stopTimeLimit limit: Duration) throws(SluiceError) {
      guard limit > .zero, limit <= longestTime else {
        throw SluiceError(
          .invalidArgument,
          "the time that processes may be stopped (stopTimeLimit) must be above 0, and 30 years at most")
      }
    }

    /// Makes sure that it can be meant, before anything is done to anybody.
    ///
    /// - Throws: `SluiceError` with `invalidArgument`, or `cannotCreate` for images that have no place.
    ///
    /// - Parameter hasSink: whether pages go to a sink, which needs no directory.
    func check(hasSink: Bool = false) throws(SluiceError) {
      try Self.check(readers, "readers", Self.possibleReaders)
      if let stopReaders { try Self.check(stopReaders, "readers (stopReaders)", Self.possibleReaders) }
      if !readersOnNodes.isEmpty {
        guard numa == .automatic else {
          throw SluiceError(
            .invalidArgument, "readers on nodes (readersOnNodes) need placement on nodes, which is off (numa)"
          )
        }
        guard readersOnNodes.keys.allSatisfy({ $0 >= 0 }), readersOnNodes.values.allSatisfy({ $0 >= 0 })
        else {
          throw SluiceError(
            .invalidArgument, "numbers of nodes and readers (readersOnNodes) must be at least 0")
        }
        let most = readersOnNodes.values.reduce(0) { min($0, 1 << 20) + min($1, 1 << 20) }
        try Self.check(most, "readers", Self.possibleReaders)
      }
      try Self.check(queueDepth, "writes in flight (queueDepth)", Self.possibleQueueDepths)
      try Self.check(stopTimeLimit: stopTimeLimit)
      guard readTimeLimit >= .seconds(1), readTimeLimit <= Self.longestTime else {
        throw SluiceError(
          .invalidArgument,
          "the time for one read (readTimeLimit) must be at least a second, not \(readTimeLimit)"
        )
      }
      // It would be taken for the wish to build on nothing, and a full copy made without a word.
      guard parentDirectory?.isEmpty != true else {
        throw SluiceError(
          .invalidArgument, "the directory of the earlier images (parentDirectory) has an empty name")
      }
      try pageServer?.check()
      guard pageServer == nil || io != .discard && !hasSink else {
        throw SluiceError(
          .invalidArgument, "pages go either to a page server (pageServer) or elsewhere, not to both"
        )
      }
      // Rounds would go to the root directory.
      guard hasSink || !imagesDirectory.isEmpty else {
        throw SluiceError(
          .cannotCreate, "making the images directory: its name (imagesDirectory) is empty (ENOENT)",
          errno: SystemErrno(code: ENOENT))
      }
    }

    static func check(
      _ number: Int, _ what: String, _ possible: ClosedRange<Int>
    ) throws(SluiceError) {
      guard possible.contains(number) else {
        throw SluiceError(
          .invalidArgument,
          "the number of \(what) must be from \(possible.lowerBound) to \(possible.upperBound), not \(number)"
        )
      }
    }
  }
}
