internal import Glibc
internal import SluicePipeline
internal import SluiceSystem

/// Expands a file that zstd, or anything that writes its format, has compressed, into a file with holes where there are zeros.
///
/// Several threads do so where the file says where its frames are, as those of `CoreCompression` do; else one, as the bytes
/// come. Nothing that the file says is believed: frames must be as long as the table of them says, and take no more memory than
/// there is.
public struct CoreExpansion: Sendable {
  /// How many threads expand; nil for as many as this program has processors. Fewer where the memory does not suffice.
  public var threads: Int?
  /// The memory for everything that could grow, in bytes.
  public var memoryBudget = 64 << 20
  /// A result that is longer, holes included, is an error.
  public var mostBytes = UInt64(Int64.max)

  /// Everything as most want it.
  public init() {}

  /// What was made.
  public struct Report: Hashable, Sendable, Codable {
    /// The length of the result.
    public internal(set) var bytes: UInt64 = 0
    /// Bytes of it that are in holes, where the output is a file.
    public internal(set) var holeBytes: UInt64 = 0
    /// Threads that did it.
    public internal(set) var threads = 1

    private enum CodingKeys: String, CodingKey {
      case bytes
      case holeBytes = "hole_bytes"
      case threads
    }
  }

  /// Runs to the end. Where it fails or is cancelled, what was written is no whole file.
  ///
  /// - Parameters:
  ///   - input: a descriptor; of a regular file, which is then read from its beginning, or of a pipe.
  ///   - output: a descriptor; of an empty regular file, or of a pipe, which gets all the zeros.
  ///   - inputName: how messages call the file.
  ///   - outputName: how messages call the result.
  /// - Throws: `SluiceError`: `malformedImages` for what is not in the format, damaged or cut off; `io`, `cancelled`; `system`
  ///   where there is no zstd; `invalidArgument` for a budget that is too small, or an output that is not empty.
  public func run(
    from input: Int32, to output: Int32, inputName: String, outputName: String
  ) async throws(SluiceError) -> Report {
    let memory = try CompressionMemory(
      expandingWith: threads ?? Topology.usableProcessorCount, budget: memoryBudget)
    let job = try ExpansionJob(
      from: PlainFile(duplicating: input, name: inputName),
      to: PlainFile(duplicating: output, name: outputName),
      memory: memory, budget: memoryBudget, mostBytes: mostBytes)
    do throws(SluiceError) {
      return try await Patience<Report>().run { () async throws(SluiceError) in
        try await Coordinator.run { () async throws(SluiceError) in try await job.run() }
      }
    } catch {
      throw error.ifCancelled(is: "the expansion")
    }
  }
}

/// A file that is being expanded.
private final class ExpansionJob: Sendable {
  private struct Frames {
    var reader: SeekTable.Reader
    /// Whether one of them takes more memory than a thread has for it, which only its bytes could tell.
    var hasLarge = false
    var isOver = false
    var holeBytes: UInt64 = 0
  }

  private let input: PlainFile
  private let output: PlainFile
  private let memory: CompressionMemory
  private let budget: Int
  private let mostBytes: UInt64

  init(
    from input: consuming PlainFile, to output: consuming PlainFile, memory: CompressionMemory, budget: Int,
    mostBytes: UInt64
  ) throws(SluiceError) {
    guard !output.isRegular || output.status.byteCount == 0 else {
      throw SluiceError(
        .invalidArgument, "\(output.name) is not empty: choose another file")
    }
    self.input = input
    self.output = output
    self.memory = memory
    self.budget = budget
    self.mostBytes = min(mostBytes, UInt64(Int64.max))
  }

  func run() async throws(SluiceError) -> CoreExpansion.Report {
    if input.isRegular, output.isRegular, let place = try tablePlace() {
      if let report = try await expand(framesOf: place) { return report }
      // Nothing of it stays.
      try output.setSize(0)
    }
    return try expandStream()
  }

  // MARK: Several threads

  /// Where the table of frames is; nil where there is none, or one that is not of this file, or has a frame that takes more
  /// memory than a thread has for it.
  private func tablePlace() throws(SluiceError) -> SeekTable.Place? {
    let fileBytes = input.status.byteCount
    guard fileBytes >= UInt64(SeekTable.headBytes + SeekTable.footBytes) else { return nil }
    let foot = try bytes(at: fileBytes - UInt64(SeekTable.footBytes), count: SeekTable.footBytes)
    guard let place = SeekTable.Place(foot: foot, fileBytes: fileBytes),
      place.hasHead(try bytes(at: place.start, count: SeekTable.headBytes))
    else { return nil }
    var reader = SeekTable.Reader(place)
    var areSmall = true
    while let frame = try reader.next({ offset, count throws(SluiceError) in
      try bytes(at: offset, count: count)
    }) {
      areSmall = areSmall && (fits(frame.entry) || isHole(frame.entry))
    }
    guard areSmall, reader.start == place.start else { return nil }
    guard reader.content <= mostBytes else { throw tooLong }
    return place
  }

  private func fits(_ entry: SeekTable.Entry) -> Bool {
    Int(entry.expanded) <= memory.frameBytes
      && Int(entry.compressed) <= ZstdCompressor.bound(of: memory.frameBytes)
  }

  /// Whether a frame may be a hole of ours, by its lengths.
  private func isHole(_ entry: SeekTable.Entry) -> Bool {
    let count = Int(entry.expanded)
    return (1...HoleFrame.mostBytes).contains(count)
      && HoleFrame.byteCount(of: count) == Int(entry.compressed)
      && Int(entry.compressed) <= ZstdCompressor.bound(of: memory.frameBytes)
  }

  private func bytes(at offset: UInt64, count: Int) throws(SluiceError) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    guard try input.read(at: offset, into: &bytes, count: count) == count else { throw becameShorter }
    return bytes
  }

  private var becameShorter: SluiceError {
    SluiceError(.io, "reading \(input.name): the file became shorter in the meantime")
  }

  private var tooLong: SluiceError {
    SluiceError(
      .malformedImages,
      "\(input.name) would be longer than \(mostBytes) bytes when expanded, which is the limit")
  }

  /// - Returns: nil where one of them has to be expanded as a stream.
  private func expand(framesOf place: SeekTable.Place) async throws(SluiceError) -> CoreExpansion.Report? {
    let frames = Locked(Frames(reader: SeekTable.Reader(place)))
    try await Workers.run(memory.threads, named: "sluice-unzstd") { () throws(SluiceError) in
      do throws(SluiceError) { try self.work(on: frames) } catch {
        frames.withLock { $0.isOver = true }
        throw error
      }
    }
    let (end, hasLarge, holeBytes) = frames.withLock { ($0.reader.content, $0.hasLarge, $0.holeBytes) }
    guard !hasLarge else { return nil }
    try output.setSize(end)
    return CoreExpansion.Report(bytes: end, holeBytes: holeBytes, threads: memory.threads)
  }

  private func work(on frames: Locked<Frames>) throws(SluiceError) {
    let expander = try ZstdExpander(longestWindow: Self.leastWindow)
    var frame = [UInt8](repeating: 0, count: ZstdCompressor.bound(of: memory.frameBytes))
    var bytes = [UInt8](repeating: 0, count: memory.frameBytes)
    var longestHole: [UInt8]?
    while let next = try nextFrame(of: frames) {
      guard !Task.isCancelled else { throw .cancelled }
      let (count, length) = (Int(next.entry.expanded), Int(next.entry.compressed))
      guard try input.read(at: next.start, into: &frame, count: length) == length else { throw becameShorter }
      if isHole(next.entry) {
        let hole: [UInt8]
        if count == HoleFrame.mostBytes {
          hole = longestHole ?? HoleFrame.make(of: count)
          longestHole = hole
        } else {
          hole = HoleFrame.make(of: count)
        }
        if Self.begins(frame, with: hole) {
          frames.withLock { $0.holeBytes += UInt64(count) }
          continue
        }
      }
      guard fits(next.entry) else {
        // It has the length of a hole, and is none.
        frames.withLock { ($0.hasLarge, $0.isOver) = (true, true) }
        return
      }
      let place = "the frame at byte \(next.start) of \(input.name)"
      let made = try expander.expand(frame, count: length, into: &bytes, called: place)
      guard made == count else {
        throw SluiceError(
          .malformedImages,
          "expanding \(place): the frame has \(made) bytes, but \(count) in the table of frames")
      }
      let written = try output.writeData(bytes, count: count, at: next.content)
      frames.withLock { $0.holeBytes += UInt64(count - written) }
    }
  }

  /// In one go: a terabyte of holes is 32 MiB of frames.
  private static func begins(_ bytes: [UInt8], with others: [UInt8]) -> Bool {
    guard bytes.count >= others.count else { return false }
    return unsafe bytes.withUnsafeBytes { bytes in
      unsafe others.withUnsafeBytes { unsafe memcmp(bytes.baseAddress!, $0.baseAddress!, $0.count) == 0 }
    }
  }

  private func nextFrame(of frames: Locked<Frames>) throws(SluiceError) -> SeekTable.Reader.Frame? {
    // The table is read 12 KiB at a time; the others would have to wait for them, too.
    try frames.withLock { frames throws(SluiceError) -> SeekTable.Reader.Frame? in
      guard !frames.isOver else { return nil }
      let next = try frames.reader.next { offset, count throws(SluiceError) in
        try bytes(at: offset, count: count)
      }
      // It was read before, and may be another one by now.
      guard let next else { return nil }
      guard next.start + UInt64(next.entry.compressed) <= frames.reader.place.start,
        next.content + UInt64(next.entry.expanded) <= mostBytes, fits(next.entry) || isHole(next.entry)
      else {
        throw SluiceError(.io, "reading \(input.name): the table of frames changed in the meantime")
      }
      return next
    }
  }

  // MARK: One thread

  private static let streamBytes = 128 << 10
  private static let partBytes = 256 << 10
  /// The shortest that the library can be limited to; frames that are expanded whole need none.
  private static let leastWindow = 10
  /// The library knows no longer one.
  private static let mostWindow = 30

  private func expandStream() throws(SluiceError) -> CoreExpansion.Report {
    // The library takes the window, and two blocks of 128 KiB.
    let room = budget - Self.streamBytes - Self.partBytes - 2 * ZstdExpander.memory
    var window = Self.leastWindow
    while window < Self.mostWindow, 2 << window <= room { window += 1 }
    let expander = try ZstdExpander(longestWindow: window)
    var stream = [UInt8](repeating: 0, count: Self.streamBytes)
    var bytes = [UInt8](repeating: 0, count: Self.partBytes)
    var report = CoreExpansion.Report()
    var offset: UInt64 = 0
    var isAtEnd = false
    var isEmpty = true
    while true {
      guard !Task.isCancelled else { throw .cancelled }
      let got = try input.isRegular ? input.read(at: offset, into: &stream) : input.read(into: &stream)
      if got == 0 { break }
      offset += UInt64(got)
      isEmpty = false
      var used = 0
      var isFull = false
      while used < got || isFull {
        guard !Task.isCancelled else { throw .cancelled }
        let part = try expander.expand(stream, in: used..<got, into: &bytes, called: input.name)
        used += part.used
        isFull = part.made == bytes.count
        isAtEnd = part.isEnd
        guard UInt64(part.made) <= mostBytes - report.bytes else { throw tooLong }
        if output.isRegular {
          report.holeBytes += UInt64(
            part.made - (try output.writeData(bytes, count: part.made, at: report.bytes)))
        } else {
          try output.write(bytes, 0..<part.made)
        }
        report.bytes += UInt64(part.made)
        guard part.used > 0 || part.made > 0 || part.isEnd else { break }
        if part.isEnd, used == got { break }
      }
    }
    guard !isEmpty, isAtEnd else {
      throw SluiceError(
        .malformedImages,
        "expanding \(input.name): \(isEmpty ? "it is empty" : "it ends in the middle of a frame")")
    }
    if output.isRegular { try output.setSize(report.bytes) }
    return report
  }
}
