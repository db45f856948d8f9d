import Bucket
import Dispatch
import FoundationEssentials
import NIOCore
import Sluice
import Synchronization

/// The rounds in a bucket as one memory: each page from the newest round that has it.
struct BucketSource: PageSource {
  let bucket: Bucket
  let prefix: String
  /// The newest first.
  let rounds: [RoundManifest]

  /// Finds the rounds below a prefix, as far as they are complete.
  init(_ bucket: Bucket, prefix: String) async throws {
    self.bucket = bucket
    self.prefix = prefix
    var found: [RoundManifest] = []
    while true {
      let key = RoundManifest.key(prefix, found.count + 1)
      guard let bytes = try await bucket.get(key, mostBytes: 16 << 20) else { break }
      let manifest = try JSONDecoder().decode(RoundManifest.self, from: Data(bytes.readableBytesView))
      guard manifest.version == 1, manifest.round == found.count + 1 else {
        throw BucketError(status: nil, description: "\(key) is not of a form that is known here")
      }
      found.append(manifest)
    }
    guard !found.isEmpty else {
      throw BucketError(status: nil, description: "there is no complete round below \(prefix)")
    }
    rounds = found.reversed()
  }

  func walk(_ plans: inout PlanWriter) async throws {
    for process in rounds[0].processes {
      try await plans.begin(.process(process.identity))
      var records = Records(self, level: 0, process.identity)
      // Whoever has it, all of it is read.
      while let record = try await records?.next() { try await plans.read(record.run) }
      try await plans.end(.process(process.identity))
    }
  }

  func makeReader() -> any PageSourceReader { Reader(RangeReader(self)) }
}

/// The runs of a process in one round, read one block after the other.
private struct Records {
  struct Record {
    let run: PageRun
    /// Where its bytes are in the pages object; nil where an earlier round has them.
    let offset: UInt64?
  }

  private let bucket: Bucket
  private let key: String
  private let byteCount: UInt64
  private var position: UInt64 = 0
  private var block = ByteBuffer()
  private var offset: UInt64 = 0
  private static let blockBytes: UInt64 = 256 << 10

  /// Nil where the round has nothing of the process.
  init?(_ source: BucketSource, level: Int, _ identity: ProcessIdentity) {
    guard source.rounds.indices.contains(level),
      let process = source.rounds[level].processes.first(where: { $0.identity == identity })
    else { return nil }
    bucket = source.bucket
    key = process.runs
    byteCount = process.runsBytes
  }

  mutating func next() async throws -> Record? {
    if block.readableBytes == 0 {
      guard position < byteCount else { return nil }
      let end = min(byteCount, position + Self.blockBytes)
      block = try await bucket.get(key, range: position..<end)
      position = end
    }
    guard let address = block.readInteger(endianness: .little, as: UInt64.self),
      let count = block.readInteger(endianness: .little, as: UInt64.self), count >> 1 > 0
    else { throw BucketError(status: nil, description: "\(key) has half a record") }
    let run = PageRun(address: address, byteCount: count >> 1)
    guard count & 1 == 0 else { return Record(run: run, offset: nil) }
    defer { offset += run.byteCount }
    return Record(run: run, offset: offset)
  }
}

/// Finds out where pages are, and reads them, many ranges at once. One reader's plans come in address order.
private actor RangeReader {
  /// Bytes of the wanted runs that one object has next to each other, or nearly.
  private struct Piece {
    let level: Int
    let offset: UInt64
    let byteCount: Int
    let target: Int
  }

  private struct Level {
    var records: Records?
    var current: Records.Record?
  }

  private let source: BucketSource
  private var identity: ProcessIdentity?
  private var levels: [Level] = []
  /// Bytes between two pieces that are read and dropped rather than asked for in two requests.
  private static let mostGap: UInt64 = 16 << 10
  private static let mostRequests = 4

  init(_ source: BucketSource) { self.source = source }

  /// The bytes of runs, one after the other.
  func read(_ runs: [PageRun], of owner: PageOwner) async throws -> [UInt8] {
    guard let process = owner.process else { return [] }
    if identity != process {
      identity = process
      levels = source.rounds.indices.map { Level(records: Records(source, level: $0, process)) }
    }
    var (pieces, target): ([Piece], Int) = ([], 0)
    for run in runs {
      try await find(run, at: 0, target: target, into: &pieces)
      target += Int(run.byteCount)
    }
    var bytes = [UInt8](repeating: 0, count: target)
    var requests = Self.group(pieces)[...]
    try await withThrowingTaskGroup(of: ([Piece], ByteBuffer).self) { group in
      var running = 0
      while running > 0 || !requests.isEmpty {
        if running < Self.mostRequests, let next = requests.popFirst() {
          running += 1
          let (bucket, key) = (source.bucket, key(next[0].level))
          let range = next[0].offset..<next[next.count - 1].offset + UInt64(next[next.count - 1].byteCount)
          group.addTask { (next, try await bucket.get(key, range: range)) }
          continue
        }
        guard let (pieces, part) = try await group.next() else { break }
        running -= 1
        part.withUnsafeReadableBytes { part in
          for piece in pieces {
            let start = Int(piece.offset - pieces[0].offset)
            bytes.withUnsafeMutableBytes { bytes in
              bytes[piece.target..<piece.target + piece.byteCount]
                .copyBytes(from: part[start..<start + piece.byteCount])
            }
          }
        }
      }
    }
    return bytes
  }

  private func key(_ level: Int) -> String {
    source.rounds[level].processes.first { $0.identity == identity }?.pages ?? ""
  }

  /// Finds a run in a round, or in those before it.
  private func find(_ run: PageRun, at level: Int, target: Int, into pieces: inout [Piece]) async throws {
    guard levels.indices.contains(level) else {
      throw BucketError(
        status: nil, description: "no round has the page at 0x\(String(run.address, radix: 16))")
    }
    var position = run.address
    while position < run.end {
      var (records, current) = (levels[level].records, levels[level].current)
      while current.map({ $0.run.end <= position }) ?? true {
        current = try await records?.next()
        if current == nil { break }
      }
      levels[level] = Level(records: records, current: current)
      guard let current, current.run.address <= position else {
        throw BucketError(
          status: nil,
          description:
            "round \(source.rounds[level].round) lacks the page at 0x\(String(position, radix: 16))")
      }
      let part = PageRun(address: position, byteCount: min(run.end, current.run.end) - position)
      let place = target + Int(position - run.address)
      if let offset = current.offset {
        pieces.append(
          Piece(
            level: level, offset: offset + (position - current.run.address), byteCount: Int(part.byteCount),
            target: place))
      } else {
        try await find(part, at: level + 1, target: place, into: &pieces)
      }
      position += part.byteCount
    }
  }

  /// Puts together what one request can bring.
  private static func group(_ pieces: [Piece]) -> [[Piece]] {
    var groups: [[Piece]] = []
    for piece in pieces.sorted(by: { ($0.level, $0.offset) < ($1.level, $1.offset) }) {
      if let last = groups.last?.last, last.level == piece.level,
        piece.offset - (last.offset + UInt64(last.byteCount)) <= mostGap
      {
        groups[groups.count - 1].append(piece)
      } else {
        groups.append([piece])
      }
    }
    return groups
  }
}

/// A reader has a thread of its own, on which it may wait.
private final class Reader: PageSourceReader {
  private let ranges: RangeReader
  init(_ ranges: RangeReader) { self.ranges = ranges }

  func fill(_ plan: inout ReadPlan) throws {
    // Once to learn which pages they are, all of which are kept, and once to fill them in.
    var runs: [PageRun] = []
    plan.fillRuns { run, room in
      runs.append(run)
      return room.byteCount
    }
    let (ranges, owner, wanted) = (ranges, plan.owner, runs)
    let box = Box()
    let done = DispatchSemaphore(value: 0)
    Task.detached {
      let read: Result<[UInt8], any Error>
      do { read = .success(try await ranges.read(wanted, of: owner)) } catch { read = .failure(error) }
      box.set(read)
      done.signal()
    }
    done.wait()
    let bytes = try box.get()
    var position = 0
    plan.fillRuns { _, room in
      bytes.withUnsafeBytes { bytes in
        room.withUnsafeMutableBytes { room in
          room.copyBytes(from: UnsafeRawBufferPointer(rebasing: bytes[position..<position + room.count]))
        }
      }
      position += room.byteCount
      return room.byteCount
    }
  }

  private final class Box: Sendable {
    private let result = Mutex<Result<[UInt8], any Error>>(.success([]))
    func set(_ new: Result<[UInt8], any Error>) { result.withLock { $0 = new } }
    func get() throws -> [UInt8] { try result.withLock { $0 }.get() }
  }
}
