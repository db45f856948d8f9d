internal import CSluiceLinux
internal import SluiceImages
internal import SluicePipeline
internal import SluiceSystem
internal import SluiceTarget

/// A core file that is being written. It has its name when it is finished, and not before.
final class CoreFile: Sendable {
  private struct State: ~Copyable {
    var unnamed: UnnamedFile?
    var extents: FileExtents
    var fileBytes: UInt64 = 0
  }

  let output: OutputFile
  private let state: Locked<State>
  private let pageSize: UInt64
  private let isExact: Bool

  /// The headers are in the first bytes; what follows begins where a large block of a disk does.
  private static let firstOffset: UInt64 = 64 << 10
  /// The file is made longer in steps, so that most writes find room that is there.
  private static let stepBytes: UInt64 = 64 << 20

  /// Makes the file, without its name.
  ///
  /// - Parameters:
  ///   - path: that it will have.
  ///   - isExact: whether it has no place for pages that are not written.
  ///   - direct: whether it is written past the page cache, where the filesystem can.
  /// - Throws: `SluiceError` with `cannotCreate`.
  init(
    at path: String, replacing replaces: Bool, direct: Bool, isExact: Bool, pageSize: UInt64
  ) throws(SluiceError) {
    do throws(SystemError) {
      var unnamed = try UnnamedFile.create(at: path, replacing: replaces, direct: direct)
      guard let created = unnamed.takeFile() else { preconditionFailure("a file was made") }
      output = OutputFile(created, path: path)
      state = Locked(
        State(
          unnamed: unnamed,
          extents: FileExtents(
            from: Self.firstOffset, blockBytes: isExact ? pageSize : FileExtents.blockBytes)))
    } catch {
      throw SluiceError(error, .cannotCreate)
    }
    self.pageSize = pageSize
    self.isExact = isExact
  }

  /// Gives mappings a place in one piece each, before anything is written of them: there are debuggers (of Java) that take no
  /// library whose mapping is in several parts. Those of which little may ever be written have a place for that alone.
  /// Nothing is done to the file itself: the process may stand still.
  func reserve(_ mappings: [CoreMapping]) {
    guard !isExact else { return }
    state.withLock { state in
      for mapping in mappings {
        let range = mapping.vma.start..<mapping.vma.end
        switch mapping.treatment {
        case .whole: state.extents.reserve(range)
        case .own where mapping.vma.byteCount <= Self.mostReserved: state.extents.reserve(range)
        case .own, .hugePages, .shared, .header, .nothing: continue
        }
      }
    }
  }

  /// A mapping of more bytes may be mostly empty.
  private static let mostReserved: UInt64 = 16 << 20

  /// Gives ranges of the memory a place in the file.
  ///
  /// - Throws: `SluiceError` with `io`.
  func place(_ runs: [PageRun]) throws(SluiceError) {
    let wanted = state.withLock { state -> UInt64? in
      for run in runs { state.extents.place(run.address..<run.end) }
      guard state.extents.end > state.fileBytes else { return nil }
      state.fileBytes = (state.extents.end + Self.stepBytes - 1) / Self.stepBytes * Self.stepBytes
      return state.fileBytes
    }
    guard let wanted else { return }
    try onImages { () throws(ImagesError) in try output.setSize(wanted) }
  }

  /// Has memory that was written read as zeros.
  ///
  /// - Throws: `SluiceError` with `io`.
  func zero(_ range: Range<UInt64>) throws(SluiceError) {
    try extents.forEachPart(of: range) { (part, offset) throws(SluiceError) in
      guard let offset else { return }
      try onImages { () throws(ImagesError) in
        try output.zero(offset..<offset + (part.upperBound - part.lowerBound))
      }
    }
  }

  /// Where the memory is in the file.
  var extents: FileExtents { state.withLock { $0.extents } }

  /// What is in a core that is complete.
  struct Content: Sendable {
    let segments: Int
    let fileBytes: UInt64
    let allocatedBytes: UInt64
  }

  /// Writes what says what is in the file.
  ///
  /// - Parameters:
  ///   - extent: how much of the memory was written.
  ///   - syncs: whether to wait until it is on the disk.
  /// - Throws: `SluiceError` with `io`.
  func complete(
    _ process: CoreProcess, _ mappings: [CoreMapping], extent: CoreDump.Configuration.Extent, syncs: Bool
  ) throws(SluiceError) -> Content {
    let notes = CoreNotes(of: process, pageSize: pageSize)
    let layout = CoreLayout(
      of: mappings, in: extents, noteBytes: notes.bytes.count, pageSize: pageSize, extent: extent)
    let headers = CoreHeaders(
      notes: layout.notes, segments: layout.segments, tableOffset: layout.tableOffset, pageSize: pageSize)
    let allocated = try onImages { () throws(ImagesError) in
      try output.leaveDirect()
      try output.setSize(layout.fileBytes)
      try output.write(notes.bytes, at: layout.notes.lowerBound)
      try output.write(headers.table, at: layout.tableOffset)
      try output.write(headers.elfHeader, at: 0)
      try output.settle(syncs: syncs)
      return try output.allocatedBytes()
    }
    return Content(segments: layout.segments.count, fileBytes: layout.fileBytes, allocatedBytes: allocated)
  }

  /// Gives the file its name.
  ///
  /// - Parameter replaces: whether it takes the place of another one.
  /// - Throws: `SluiceError` with `cannotCreate`; it has no name then.
  func publish(replacing replaces: Bool) throws(SluiceError) {
    guard var unnamed = state.withLock({ $0.unnamed.take() }) else { throw .cancelled }
    do throws(SystemError) {
      try unnamed.giveName(to: output.descriptor, replacing: replaces)
    } catch {
      throw SluiceError(error, .cannotCreate)
    }
  }
}
