internal import CSluiceLinux
internal import SluicePipeline
internal import SluiceTarget

/// Finds out, while the processes run, what a stop would have to copy at this moment, and how fast that is read: it looks
/// at all page tables once, and reads a small part of what it finds into a buffer.
struct StopProbe: ~Copyable {
  /// How it is known what was written of a process.
  enum Writes {
    /// Not at all: everything is copied.
    case unknown
    /// By write protection; and what was left by the round before is copied once more.
    case protected(by: WriteProtection, left: DirtySet.Cursor?)
    /// By the soft-dirty bits.
    case softDirty(SoftDirtySampler)
  }

  /// What a thread reads in a second as a rule, in bytes: for where there is too little to measure it.
  private static let usualRate = 4e9
  private static let leastBytes: UInt64 = 256 << 10
  /// A buffer that is used again and again is in the processor's cache, and the buffers of a stop are not: so parts are
  /// read into so many in turn.
  private static let mostBuffers = 8

  /// A buffer in an array, which can hold none by itself.
  private final class Place {
    var buffer: PageBuffer
    init(_ buffer: consuming PageBuffer) { self.buffer = buffer }
  }

  /// For the soft-dirty bits, in bytes.
  private static let setBytes = 512 << 10

  private var places: [Place] = []
  /// Which of them is being filled.
  private var current = 0
  private let swapped: SwappedPages
  private let source: PageScanner.Source?
  /// What was found to copy, in bytes.
  private(set) var dirtyBytes: UInt64 = 0
  /// How long that took, without the reading, in nanoseconds.
  private(set) var scanNanoseconds: UInt64 = 0
  /// The threads of the processes.
  private(set) var threads = 0
  private var readBytes: UInt64 = 0
  private var readNanoseconds: UInt64 = 0
  /// The next part is read when so much was found: each time twice as much, so that all kinds of places have their part
  /// in it, and little is read.
  private var nextSample: UInt64 = 0

  /// - Parameter ring: whose free buffers are used meanwhile.
  init(by ring: BufferRing, source: PageScanner.Source?, swapped: SwappedPages) {
    self.source = source
    self.swapped = swapped
    while places.count < Self.mostBuffers, let buffer = ring.takeNow() { places.append(Place(buffer)) }
  }

  /// What one thread reads in a second, in bytes.
  var readRate: Double {
    guard readBytes >= Self.leastBytes, readNanoseconds > 0 else { return Self.usualRate }
    return Double(readBytes) / Double(readNanoseconds) * 1e9
  }

  /// Adds what would be copied beside what page tables tell.
  mutating func add(byteCount: UInt64) { dirtyBytes += byteCount }

  /// Looks at a process.
  ///
  /// - Throws: `TargetError` when the process is gone, or the kernel refuses.
  mutating func look(at process: TargetProcess, by writes: Writes) throws(TargetError) {
    threads += try process.threadCount()
    let (began, readBefore) = (sluice_monotonic_nanoseconds(), readNanoseconds)
    switch writes {
    case .unknown:
      var walk = try PageWalk(of: process, source: source, swapped: swapped)
      while try walk.next() {
        for index in walk.runs.indices { try take(walk.runs[index].run, of: process) }
      }
    case .protected(let protection, let left):
      var cursor = left
      var walk = try PageWalk(of: process, by: protection, mode: .sample, swapped: swapped)
      while try walk.next() {
        for index in walk.runs.indices {
          // What was left is copied where it is still there, written or not.
          let run = walk.runs[index].run
          if walk.runs[index].mustCopy {
            try take(run, of: process)
          } else {
            try takeLeft(in: run, of: process, &cursor)
          }
        }
      }
    case .softDirty(let sampler):
      var set = DirtySet(byteCount: Self.setBytes, processCount: 1)
      set.beginProcess()
      try sampler.collect(into: &set)
      try set.forEachRun(ofProcess: 0) { (run) throws(TargetError) in try take(run, of: process) }
    }
    try read(of: process)
    scanNanoseconds += sluice_monotonic_nanoseconds() - began - (readNanoseconds - readBefore)
  }

  private mutating func takeLeft(
    in run: MemoryRun, of process: TargetProcess, _ cursor: inout DirtySet.Cursor?
  ) throws(TargetError) {
    guard cursor != nil else { return }
    let end = run.address + run.length
    var position = run.address
    while position < end, let part = cursor?.next(in: position..<end) {
      if part.isDirty { try take(MemoryRun(address: position, length: part.end - position), of: process) }
      position = part.end
    }
  }

  private mutating func take(_ run: MemoryRun, of process: TargetProcess) throws(TargetError) {
    dirtyBytes += run.length
    guard dirtyBytes > nextSample, !places.isEmpty else { return }
    guard places[current].buffer.append(run) < run.length else { return }
    try read(of: process)
    nextSample = 2 * dirtyBytes
  }

  /// Reads what the buffer has room for and was planned.
  private mutating func read(of process: TargetProcess) throws(TargetError) {
    guard !places.isEmpty, places[current].buffer.runCount > 0 else { return }
    let memory = RemoteMemory(of: process)
    var turns = MmapLockPacer()
    let place = places[current]
    let began = sluice_monotonic_nanoseconds()
    let outcome = unsafe try memory.read(
      table: place.buffer.runTable, runCount: place.buffer.runCount, into: place.buffer.bytes, turns: &turns)
    readNanoseconds += sluice_monotonic_nanoseconds() - began
    readBytes += UInt64(outcome.byteCount)
    place.buffer.keep(runCount: 0, byteCount: 0)
    current = (current + 1) % places.count
  }
}

extension StopForecast {
  /// What is known without a look at the processes.
  struct Terms: Sendable {
    /// The threads that would read.
    var readers: Int
    /// Whether a cgroup would be frozen.
    var isFrozen: Bool
    /// What the buffers hold.
    var bufferBytes: UInt64
    /// What is written in a second, in bytes; nil where that was not measured.
    var writeRate: Double?
  }

  init(_ probe: borrowing StopProbe, _ terms: Terms) {
    self.init(
      dirtyBytes: probe.dirtyBytes, scanNanoseconds: probe.scanNanoseconds, readRate: probe.readRate,
      readers: terms.readers, processors: Topology.usableProcessorCount, threads: probe.threads,
      isFrozen: terms.isFrozen, bufferBytes: terms.bufferBytes, writeRate: terms.writeRate)
  }
}
