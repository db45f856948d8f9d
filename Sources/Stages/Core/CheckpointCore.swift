internal import CSluiceLinux
internal import SluiceImages
internal import SluicePipeline
internal import SluiceSystem

/// Makes a core of a process in the images of CRIU's final dump, so that a debugger can look at a checkpoint without restoring
/// it. The images may build on others, such as those of Sluice's rounds.
///
/// What the images do not have is not in the core: pages of mapped files that the process has not written to. A debugger
/// takes them from the files, which must be those that the process had. A thread that was in a system call stands before it,
/// where the images have it begin again after a restore.
public struct CheckpointCore: Sendable {
  /// The directory of the final dump.
  public var directory: String
  /// Whether the links of the chain are followed whoever they belong to, and whoever may write where they lead.
  public var trustsParents = false

  /// Of the images in this directory.
  public init(directory: String) {
    self.directory = directory
  }

  /// A process that the images are of.
  public struct Process: Hashable, Sendable, Codable {
    /// Its pid, in its own pid namespace.
    public let pid: Int32
    /// How many threads it has.
    public let threads: Int
  }

  /// What was made.
  public struct Report: Hashable, Sendable, Codable {
    /// The process, by its pid in its own pid namespace.
    public let pid: Int32
    /// How many threads it has.
    public let threads: Int
    /// The length of the core, with its holes.
    public let bytes: UInt64
    /// Bytes of memory that are not zero.
    public let dataBytes: UInt64
    /// Program headers.
    public let segments: Int

    private enum CodingKeys: String, CodingKey {
      case pid
      case threads
      case bytes
      case dataBytes = "data_bytes"
      case segments
    }
  }

  /// The processes that a core can be made of, as the images list them.
  ///
  /// - Throws: `SluiceError`: `notFound` for no directory, `malformedImages` where these are no images of a final dump.
  public func processes() async throws(SluiceError) -> [Process] {
    let core = self
    return try await BlockingWork.run("reading the images") { () throws(SluiceError) in
      try core.open().entries.map { Process(pid: $0.pid, threads: $0.threads.count) }
    }
  }

  /// Writes the core, on a thread of its own: each page is read and written once.
  ///
  /// - Parameters:
  ///   - pid: the process, by its pid in its own pid namespace; nil where there is but one.
  ///   - output: a descriptor of an empty regular file.
  ///   - outputName: how messages call it.
  /// - Throws: `SluiceError`: `notFound`, `malformedImages`, `io`, `cancelled`; `invalidArgument` where there are several
  ///   processes and none was named, or an output that is no empty file.
  public func run(pid: Int32?, to output: Int32, outputName: String) async throws(SluiceError) -> Report {
    let core = self
    let held = try Locked<PlainFile?>(PlainFile(duplicating: output, name: outputName))
    return try await BlockingWork.run("making the core") { () throws(SluiceError) in
      guard let file = held.withLock({ $0.take() }) else { preconditionFailure("the work is done once") }
      return try core.write(pid: pid, to: file)
    }
  }

  private func open() throws(SluiceError) -> CheckpointImages {
    try onImages { () throws(ImagesError) in
      let chain = try ImageChain(path: directory, trust: Trust(everybody: trustsParents))
      try chain.checkLevels()
      return try CheckpointImages(chain: chain)
    }
  }

  private func entry(_ pid: Int32?, of images: CheckpointImages) throws(SluiceError) -> CheckpointImages.Entry
  {
    guard let pid else {
      guard images.entries.count == 1, let only = images.entries.first else {
        let pids = images.entries.prefix(20).map { "\($0.pid)" }.joined(separator: ", ")
        throw SluiceError(
          .invalidArgument,
          "\(directory) has images of \(images.entries.count) processes: name one by -t (\(pids))")
      }
      return only
    }
    guard let entry = images.entries.first(where: { $0.pid == pid }) else {
      throw SluiceError(
        .notFound, "\(directory) has no images of a process \(pid), by its pid in its own pid namespace")
    }
    return entry
  }

  private func write(pid: Int32?, to output: borrowing PlainFile) throws(SluiceError) -> Report {
    guard output.isRegular, output.status.byteCount == 0 else {
      throw SluiceError(.invalidArgument, "\(output.name) is not empty: choose another file")
    }
    let images = try open()
    let entry = try entry(pid, of: images)
    var process = try onImages { () throws(ImagesError) in try images.process(entry) }
    let pageSize = UInt64(sluice_page_size())
    process.core.arguments = try arguments(of: process, in: images, pageSize: pageSize)

    var layout = CheckpointLayout()
    var own = try pages(of: entry.pid, in: images, pageSize: pageSize)
    for (number, mapping) in process.mappings.enumerated() {
      guard !Task.isCancelled else { throw .cancelled }
      var shared = try sharedPages(of: mapping, in: images, pageSize: pageSize)
      let isShared = shared != nil
      let source = Self.source(of: mapping)
      if source != nil, !isShared { _ = try own.skip(to: mapping.range.lowerBound) }
      var position = source?.lowerBound ?? 0
      try layout.add(mapping, number: number) { () throws(SluiceError) -> Range<UInt64>? in
        guard let source else { return nil }
        while position < source.upperBound {
          let start = position
          let rest = start..<source.upperBound
          let next: (isThere: Bool, end: UInt64)
          if isShared {
            guard let found = try shared?.next(in: rest) else { return nil }
            next = found
          } else {
            next = try own.next(in: rest)
          }
          position = next.end
          if next.isThere {
            return mapping.range.lowerBound + (start - source.lowerBound)..<mapping.range.lowerBound
              + (next.end - source.lowerBound)
          }
        }
        return nil
      }
      guard !layout.isFull else {
        throw SluiceError(
          .malformedImages,
          "process \(entry.pid) would have a core of more than \(CheckpointLayout.mostSegments) segments")
      }
    }

    let notes = CoreNotes(of: process.core, machine: process.machine, pageSize: pageSize).bytes
    let notesStart = UInt64(
      CoreHeaders.elfHeaderBytes + CoreHeaders.tableBytes(segments: layout.segments.count))
    let notesEnd = notesStart + UInt64(notes.count)
    let length = layout.place(at: (notesEnd + pageSize - 1) / pageSize * pageSize)
    let headers = CoreHeaders(
      notes: notesStart..<notesEnd, segments: layout.segments,
      tableOffset: UInt64(CoreHeaders.elfHeaderBytes),
      pageSize: pageSize, machine: process.machine)
    try output.setSize(length)
    let dataBytes = try copy(
      layout.pieces, of: process, entry.pid, from: images, to: output, pageSize: pageSize)
    let front = headers.elfHeader + headers.table + notes
    try output.write(front, 0..<front.count, at: 0)
    return Report(
      pid: entry.pid, threads: process.core.threads.count, bytes: length, dataBytes: dataBytes,
      segments: layout.segments.count)
  }

  /// Where the bytes of a mapping are among the pages of its source; nil where the core has none of it.
  private static func source(of mapping: CheckpointProcess.Mapping) -> Range<UInt64>? {
    guard !mapping.isExcluded else { return nil }
    switch mapping.pages {
    case .own, .ownOfFile: return mapping.range
    case .shared(_, let offset):
      let (end, overflows) = offset.addingReportingOverflow(
        mapping.range.upperBound - mapping.range.lowerBound)
      return overflows ? nil : offset..<end
    case .none: return nil
    }
  }

  private func pages(
    of pid: Int32, in images: CheckpointImages, pageSize: UInt64
  ) throws(SluiceError) -> ImagePages {
    ImagePages(
      pagemap: try onImages { () throws(ImagesError) in try images.pagemap(pid: pid) }, pageSize: pageSize)
  }

  /// The pages of a mapping of shared memory, from its first on; nil for other mappings.
  private func sharedPages(
    of mapping: CheckpointProcess.Mapping, in images: CheckpointImages, pageSize: UInt64
  ) throws(SluiceError) -> ImagePages? {
    guard case .shared(let id, let offset) = mapping.pages else { return nil }
    let pagemap = try onImages { () throws(ImagesError) in try images.sharedPagemap(id: id) }
    var pages = ImagePages(pagemap: pagemap, pageSize: pageSize)
    _ = try pages.skip(to: offset)
    return pages
  }

  /// What the process was called with: its memory has the words one after another, each with a zero behind it.
  private func arguments(
    of process: CheckpointProcess, in images: CheckpointImages, pageSize: UInt64
  ) throws(SluiceError) -> [UInt8] {
    // A core has 80 bytes of them.
    let start = process.arguments.lowerBound
    let count = min(80, process.arguments.upperBound - start)
    let first = start / pageSize * pageSize
    guard count > 0, first < UInt64.max - 3 * pageSize else { return [] }
    let end = (start + count + pageSize - 1) / pageSize * pageSize
    var pages = try pages(of: process.core.pid, in: images, pageSize: pageSize)
    _ = try pages.skip(to: first)
    guard case (true, end) = try pages.next(in: first..<end) else { return [] }
    var bytes = [UInt8](repeating: 0, count: Int(end - first))
    try pages.read(first..<end, into: &bytes)
    let words = bytes[Int(start - first)..<Int(start - first + count)]
    let text = words.map { $0 == 0 ? UInt8(ascii: " ") : $0 }
    return Array(text.reversed().drop { $0 == UInt8(ascii: " ") }.reversed())
  }

  private static let copiedBytes = 1 << 20

  /// - Returns: how many bytes were written.
  private func copy(
    _ pieces: [CheckpointLayout.Piece], of process: CheckpointProcess, _ pid: Int32,
    from images: CheckpointImages,
    to output: borrowing PlainFile, pageSize: UInt64
  ) throws(SluiceError) -> UInt64 {
    var own = try pages(of: pid, in: images, pageSize: pageSize)
    var bytes = [UInt8](repeating: 0, count: Self.copiedBytes)
    var written: UInt64 = 0
    var shared: (mapping: Int, pages: ImagePages)?
    for piece in pieces {
      let mapping = process.mappings[piece.mapping]
      guard let source = Self.source(of: mapping) else { continue }
      if case .shared = mapping.pages, shared?.mapping != piece.mapping {
        shared = try sharedPages(of: mapping, in: images, pageSize: pageSize).map { (piece.mapping, $0) }
      }
      let isShared = shared?.mapping == piece.mapping
      let start = source.lowerBound + (piece.range.lowerBound - mapping.range.lowerBound)
      let end = start + (piece.range.upperBound - piece.range.lowerBound)
      var position = start
      if isShared { _ = try shared?.pages.skip(to: start) } else { _ = try own.skip(to: start) }
      while position < end {
        guard !Task.isCancelled else { throw .cancelled }
        let step = position..<min(end, position + UInt64(Self.copiedBytes))
        guard let next = try isShared ? shared?.pages.next(in: step) : own.next(in: step) else { break }
        if next.isThere {
          let range = position..<next.end
          if isShared {
            try shared?.pages.read(range, into: &bytes)
          } else {
            try own.read(range, into: &bytes)
          }
          written += UInt64(
            try output.writeData(
              bytes, count: Int(next.end - position), at: piece.fileOffset + (position - start)))
        }
        position = next.end
      }
    }
    return written
  }
}
