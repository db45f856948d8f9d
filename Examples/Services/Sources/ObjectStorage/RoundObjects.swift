import Bucket
import FoundationEssentials
import NIOCore
import Sluice

/// What a round has put into the bucket, by which it is there: written last.
///
/// Of each process there are two objects: `pages`, the bytes of its pages in address order, and `runs`, which says where they
/// belong: 16 bytes for each run of pages, the address and twice the number of bytes, plus one where an earlier round has them
/// and `pages` does not. Both numbers have their lowest byte first.
struct RoundManifest: Codable {
  struct Process: Codable {
    let identity: ProcessIdentity
    /// The names of its objects, which no other run has: one that fails takes nothing away from another.
    let pages: String
    let runs: String
    let pagesBytes: UInt64
    let runsBytes: UInt64
  }

  var version = 1
  let round: Int
  let pageSize: Int
  /// For CRIU, which goes by it to see whether it can build on the images.
  let trackedSince: UInt64?
  let processes: [Process]

  static func key(_ prefix: String, _ round: Int) -> String { "\(prefix)/\(round)/manifest.json" }
}

/// How a budget is divided: buffers for what is read of the processes, and parts that are on their way.
struct Division {
  let ringBytes: Int
  let partBytes: Int
  let concurrency: Int

  /// - Parameters:
  ///   - budget: in bytes.
  ///   - expected: the memory of the processes, in bytes.
  init(budget: Int, expecting expected: UInt64) throws {
    partBytes = ObjectWriter.partBytes(expecting: expected)
    // Each is longer by what is added at once; of the runs there are two, one of which is being filled.
    let (pages, runs) = (partBytes + (1 << 20), 2 * (ObjectWriter.leastPartBytes + (1 << 20)))
    ringBytes = max(8 << 20, budget / 4)
    concurrency = min(16, (budget - ringBytes - runs) / pages - 1)
    guard concurrency >= 1 else {
      let least = (2 * pages + runs) * 4 / 3
      throw BucketError(
        status: nil,
        description: "parts of \(partBytes >> 20) MiB take a budget of \((least >> 20) + 1) MiB (--budget)")
    }
  }
}

/// Puts the pages of one round into a bucket.
actor BucketSink: PageSink {
  nonisolated let limits: SinkLimits
  private let bucket: Bucket
  private let prefix: String
  private let round: Int
  private let name = String(UInt64.random(in: 0...UInt64.max), radix: 36)
  private let division: Division
  private var pages: ObjectWriter?
  private var runs: ObjectWriter?
  /// What is there already, by owner.
  private var finished: [PageOwner: RoundManifest.Process] = [:]
  private var keys: [String] = []

  init(_ bucket: Bucket, prefix: String, round: Int, _ division: Division) {
    self.bucket = bucket
    self.prefix = prefix
    self.round = round
    self.division = division
    var limits = SinkLimits()
    limits.preferredChunkBytes = 1 << 20
    self.limits = limits
  }

  func begin(_ owner: PageOwner, expectedBytes: UInt64) throws {
    guard let process = owner.process else {
      throw BucketError(status: nil, description: "\(owner) is no process")
    }
    let key = "\(prefix)/\(round)/\(name)-\(process.pid)"
    pages = ObjectWriter(
      bucket, key: "\(key)-pages", partBytes: division.partBytes, concurrency: division.concurrency)
    runs = ObjectWriter(
      bucket, key: "\(key)-runs", partBytes: ObjectWriter.leastPartBytes, concurrency: 1)
  }

  func write(_ chunk: consuming PageChunk) async throws {
    guard let pages, let runs else { return }
    var parents = chunk.parentRuns[...]
    chunk.forEachRun { run, bytes in
      while let parent = parents.first, parent.address < run.address {
        runs.add(parent, isParent: true)
        parents.removeFirst()
      }
      runs.add(run, isParent: false)
      pages.add(bytes)
    }
    for parent in parents { runs.add(parent, isParent: true) }
    // The buffer goes back before anything is waited for.
    _ = consume chunk
    try await pages.flush()
    try await runs.flush()
  }

  func end(_ owner: PageOwner, failure: SluiceError?) async throws {
    guard let pages, let runs, let identity = owner.process else { return }
    guard failure == nil else { return await abortProcess() }
    for writer in [pages, runs] {
      // It may be there though we are not told so.
      keys.append(writer.key)
      try await writer.finish()
    }
    finished[owner] = RoundManifest.Process(
      identity: identity, pages: pages.key, runs: runs.key, pagesBytes: pages.byteCount,
      runsBytes: runs.byteCount)
    (self.pages, self.runs) = (nil, nil)
  }

  func commit(_ manifest: RunManifest) async throws {
    let round = RoundManifest(
      round: round, pageSize: manifest.pageSize, trackedSince: manifest.trackedSince,
      processes: manifest.entries.compactMap { $0.failure == nil ? finished[$0.owner] : nil })
    try await bucket.create(
      RoundManifest.key(prefix, self.round), ByteBuffer(bytes: try JSONEncoder().encode(round)))
    keys = []
  }

  func abort() async {
    await abortProcess()
    let (bucket, keys) = (bucket, keys)
    // The run's task may be cancelled, which this is not.
    await Task { for key in keys { try? await bucket.delete(key) } }.value
  }

  private func abortProcess() async {
    let writers = [pages, runs]
    (pages, runs) = (nil, nil)
    for writer in writers { await writer?.abort() }
  }
}

extension ObjectWriter {
  fileprivate func add(_ run: PageRun, isParent: Bool) {
    add(run.address)
    add(run.byteCount << 1 | (isParent ? 1 : 0))
  }
}
