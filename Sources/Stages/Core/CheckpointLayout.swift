internal import SluiceImages

/// Where in a core the memory of a process goes, of which images have some pages.
struct CheckpointLayout {
  /// Memory that is copied from the images.
  struct Piece: Hashable {
    /// Its addresses.
    let range: Range<UInt64>
    /// Where in the core; relative to the first one until that is known.
    var fileOffset: UInt64
    /// The mapping that it is a part of.
    let mapping: Int
  }

  /// A core with more segments is not made: each takes some hundred bytes of memory.
  static let mostSegments = 1 << 18
  /// Zeros in between that are longer than that are left out, of the file's length as well: some filesystems have files of
  /// 16 TiB and no longer.
  static let longestHole: UInt64 = 1 << 30

  /// The program headers, in address order.
  private(set) var segments: [CoreSegment] = []
  /// What has bytes in the file.
  private(set) var pieces: [Piece] = []
  private var fileBytes: UInt64 = 0
  /// Whether there were more segments than are made.
  private(set) var isFull = false

  /// Adds a mapping, of which these runs of pages are in the images.
  ///
  /// - Parameter next: gives one after another, from low addresses to high ones.
  mutating func add<Failure>(
    _ mapping: CheckpointProcess.Mapping, number: Int, next: () throws(Failure) -> Range<UInt64>?
  ) throws(Failure) {
    var (position, end) = (mapping.range.lowerBound, mapping.range.lowerBound)
    // What is between two runs of a private file's is as in the file: the core cannot say that it is zero.
    let longestHole = mapping.pages == .ownOfFile ? 0 : Self.longestHole
    while !isFull, let run = try next() {
      if run.lowerBound - end > longestHole {
        addPiece(position..<end, of: mapping, number)
        addGap(end..<run.lowerBound, of: mapping)
        position = run.lowerBound
      }
      end = run.upperBound
    }
    let rest = end..<mapping.range.upperBound
    let hasPages = end > mapping.range.lowerBound
    if hasPages, longestHole > 0, rest.upperBound - rest.lowerBound <= longestHole {
      addPiece(position..<rest.upperBound, of: mapping, number)
    } else {
      addPiece(position..<end, of: mapping, number)
      addGap(rest, of: mapping)
    }
  }

  private mutating func addPiece(
    _ range: Range<UInt64>, of mapping: CheckpointProcess.Mapping, _ number: Int
  ) {
    guard !range.isEmpty else { return }
    let count = range.upperBound - range.lowerBound
    add(
      CoreSegment(
        address: range.lowerBound, memoryBytes: count, fileBytes: count, fileOffset: fileBytes,
        permissions: mapping.permissions))
    pieces.append(Piece(range: range, fileOffset: fileBytes, mapping: number))
    fileBytes += count
  }

  private mutating func addGap(_ range: Range<UInt64>, of mapping: CheckpointProcess.Mapping) {
    guard !range.isEmpty else { return }
    add(
      CoreSegment(
        address: range.lowerBound, memoryBytes: range.upperBound - range.lowerBound, fileBytes: 0,
        fileOffset: fileBytes, permissions: mapping.permissions))
  }

  private mutating func add(_ segment: CoreSegment) {
    segments.append(segment)
    isFull = isFull || segments.count > Self.mostSegments
  }

  /// Moves everything behind the headers.
  ///
  /// - Returns: the file's length.
  mutating func place(at offset: UInt64) -> UInt64 {
    for index in segments.indices { segments[index].fileOffset += offset }
    for index in pieces.indices { pieces[index].fileOffset += offset }
    return offset + fileBytes
  }
}
