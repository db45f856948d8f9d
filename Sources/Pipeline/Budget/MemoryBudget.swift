/// How the memory that Sluice may use is divided, once, before anything runs.
///
/// Some tables have a size of their own (scan vectors, text buffers, record buffers); the rest goes into
/// the buffers of the ring. Everything that could grow with the target is in one of the two.
public struct MemoryBudget: Hashable, Sendable {
  /// Memory of a fixed size that a stage needs beside the buffers.
  public struct Share: Hashable, Sendable {
    /// What it is for, as it is shown to people.
    public let purpose: String
    /// The memory in bytes.
    public let byteCount: Int

    /// A share of so many bytes.
    public init(purpose: String, byteCount: Int) {
      self.purpose = purpose
      self.byteCount = byteCount
    }
  }

  /// A budget too small to run with.
  public struct TooSmall: Error, Hashable {
    /// The bytes that were asked for.
    public let asked: Int
    /// The bytes that would just do.
    public let smallest: Int
  }

  /// The whole budget in bytes.
  public let total: Int
  /// The fixed shares that were taken off first.
  public let shares: [Share]
  /// The buffers that the rest was made into.
  public let buffers: BufferLayout

  /// The chunk where there is room for it: large enough that the cost of handing it on does not show
  /// (200 µs of copying against a few µs), small enough for the processor's cache.
  static let usualChunkBytes = 1 << 20
  /// Below this a chunk costs more to hand on than is won by having more of them.
  static let smallestChunkBytes = 64 << 10
  /// One is read, one is written, one waits on either side: with fewer, the stages wait for each other.
  public static let fewestBuffers = 4
  /// More would never be of use, however large the budget: with the most readers and writes in flight that the
  /// command takes (256 and 1024), channels, readers and writes hold some 1600, and the rest lets readers go on while
  /// one of them is held up. The ring and the writer keep a few words for each, and the kernel registers no more than
  /// 16384 (IORING_MAX_REG_BUFFERS).
  public static let mostBuffers = 4096

  /// Divides `total` bytes.
  ///
  /// - Parameters:
  ///   - total: the budget in bytes.
  ///   - shares: what the stages need beside the buffers.
  ///   - pageSize: the machine's page size in bytes; chunks are whole pages.
  ///   - preferred: the bytes of a chunk where there is room; nil for what suits most.
  ///   - fewest: how many buffers there must be at least.
  /// - Throws: `TooSmall`, which names the smallest budget that would do.
  public init(
    total: Int, shares: [Share], pageSize: Int, preferredChunkBytes preferred: Int? = nil,
    fewestBuffers fewest: Int = MemoryBudget.fewestBuffers
  ) throws(TooSmall) {
    let fixed = shares.reduce(0) { $0 + $1.byteCount }
    let smallestChunk = max(Self.smallestChunkBytes, pageSize)
    // Any number may be asked for, and the difference of two need not be one.
    let rest = total > fixed ? total - fixed : 0
    func layout(chunk: Int) -> BufferLayout {
      let one = BufferLayout(count: 1, chunkBytes: chunk, pageSize: pageSize).totalBytes
      return BufferLayout(
        count: min(rest / one, Self.mostBuffers), chunkBytes: chunk, pageSize: pageSize)
    }
    // Halves of it are whole pages, too.
    var chunk = max(Self.roundedUp(preferred ?? Self.usualChunkBytes), smallestChunk)
    while layout(chunk: chunk).count < fewest && chunk > smallestChunk {
      chunk /= 2
    }
    let buffers = layout(chunk: chunk)
    guard buffers.count >= fewest else {
      let least = BufferLayout(
        count: fewest, chunkBytes: smallestChunk, pageSize: pageSize)
      throw TooSmall(asked: total, smallest: fixed + least.totalBytes)
    }
    self.total = total
    self.shares = shares
    self.buffers = buffers
  }
}

extension MemoryBudget {
  /// The bytes of the fewest buffers that a run takes.
  public static func leastForBuffers(pageSize: Int) -> Int {
    BufferLayout(count: fewestBuffers, chunkBytes: max(smallestChunkBytes, pageSize), pageSize: pageSize)
      .totalBytes
  }

  /// To a power of two, and no more than a system call takes.
  private static func roundedUp(_ bytes: Int) -> Int {
    var rounded = 1
    while rounded < min(bytes, 1 << 30) { rounded *= 2 }
    return rounded
  }

  /// So much is in use at most where the output is memory, too: enough to keep both sides busy (measured onto a tmpfs:
  /// 8 MiB do as well as 36). But not smaller buffers than for disks: each costs four or five changes of threads,
  /// whatever it holds (1 GiB against fio: 0.71 with 4 MiB of 256 KiB, 0.80 with these).
  private static let mostBytesForMemory = 16 << 20

  /// The buffers where the output is a file in memory, which is written by copying.
  public var forMemory: BufferLayout {
    let one = buffers.totalBytes / buffers.count
    return BufferLayout(
      count: min(buffers.totalBytes, Self.mostBytesForMemory) / one,
      chunkBytes: buffers.chunkBytes, pageSize: buffers.pageSize)
  }
}

extension MemoryBudget: CustomStringConvertible {
  /// How the budget was divided, in one line.
  public var description: String {
    let fixed = shares.map { "\($0.byteCount >> 10) KiB for \($0.purpose)" }
    let ring = "\(buffers.count) buffers of \(buffers.chunkBytes >> 10) KiB"
    return "memory budget of \(total >> 10) KiB: " + (fixed + [ring]).joined(separator: ", ")
  }
}
