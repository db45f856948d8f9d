internal import SluiceImages
internal import SluiceTarget

/// Lays a core file out, when it is known what is in it: the program headers, and what stands behind the memory.
struct CoreLayout: Sendable {
  /// The parts of the memory, in the order of their addresses.
  private(set) var segments: [CoreSegment] = []
  /// Where the notes are.
  let notes: Range<UInt64>
  /// Where the program headers are.
  let tableOffset: UInt64
  /// The length of the file in bytes.
  let fileBytes: UInt64

  /// Parts of the memory that read as zeros and have no place are all in one hole of the file, again and again: it is no
  /// longer than this, so that terabytes of reserved addresses make no file of terabytes.
  private static let mostHoleBytes: UInt64 = 1 << 30

  /// - Parameters:
  ///   - mappings: of the process, in the order of their addresses.
  ///   - extents: where their memory is in the file.
  ///   - noteBytes: how long the notes are.
  init(of mappings: [CoreMapping], in extents: FileExtents, noteBytes: Int, pageSize: UInt64) {
    let hole = (extents.end + pageSize - 1) / pageSize * pageSize
    var longest: UInt64 = 0
    for mapping in mappings {
      Self.add(mapping, in: extents, hole: hole, pageSize: pageSize, to: &segments, &longest)
    }
    let first = hole + longest
    notes = first..<first + UInt64(noteBytes)
    tableOffset = (notes.upperBound + 7) / 8 * 8
    fileBytes = tableOffset + UInt64(CoreHeaders.tableBytes(segments: segments.count))
  }

  private static func add(
    _ mapping: CoreMapping, in extents: FileExtents, hole: UInt64, pageSize: UInt64,
    to segments: inout [CoreSegment], _ longest: inout UInt64
  ) {
    let vma = mapping.vma
    let permissions =
      (vma.isReadable ? CoreSegment.readable : 0) | (vma.isWritable ? CoreSegment.writable : 0)
      | (vma.isExecutable ? CoreSegment.executable : 0)
    var segment = CoreSegment(
      address: vma.start, memoryBytes: vma.byteCount, fileBytes: 0, fileOffset: hole, permissions: permissions
    )
    switch mapping.treatment {
    case .nothing: segments.append(segment)
    case .header:
      extents.forEachPart(of: vma.start..<vma.start + pageSize) { _, offset in
        guard let offset else { return }
        (segment.fileBytes, segment.fileOffset) = (pageSize, offset)
      }
      segments.append(segment)
    case .own, .hugePages, .whole, .shared:
      extents.forEachPart(of: vma.start..<vma.end) { range, offset in
        segment.address = range.lowerBound
        segment.memoryBytes = range.upperBound - range.lowerBound
        if let offset {
          (segment.fileBytes, segment.fileOffset) = (segment.memoryBytes, offset)
          segments.append(segment)
          return
        }
        segment.fileOffset = hole
        // What the process itself may not read, and has never written, has no content.
        guard vma.isReadable else {
          segment.fileBytes = 0
          segments.append(segment)
          return
        }
        while segment.address < range.upperBound {
          segment.memoryBytes = min(mostHoleBytes, range.upperBound - segment.address)
          segment.fileBytes = segment.memoryBytes
          longest = max(longest, segment.fileBytes)
          segments.append(segment)
          segment.address += segment.memoryBytes
        }
      }
    }
  }
}
