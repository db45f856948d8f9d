internal import SluicePipeline

/// Where the bytes of a chunk belong in a core file, and which parts of the file are to read as zeros.
struct PlacedPages: Hashable, Sendable {
  /// What is written.
  private(set) var parts: [WriteQueue.PlacedPart] = []
  /// Ranges of the file that have no bytes but zeros.
  private(set) var zeros: [Range<UInt64>] = []

  /// - Parameters:
  ///   - runs: those of the chunk, whose bytes stand in its buffer one after the other. All have a place.
  ///   - data: what of the buffer is not all zeros, in order.
  ///   - extents: where the memory is in the file.
  init(_ runs: [PageRun], data: [WriteQueue.Part], in extents: FileExtents) {
    var position = 0
    var index = 0
    for run in runs {
      let end = position + Int(run.byteCount)
      var next = position
      while next < end {
        while index < data.count, data[index].position + data[index].count <= next { index += 1 }
        let isData = index < data.count && data[index].position <= next
        let partEnd: Int
        if isData {
          partEnd = min(end, data[index].position + data[index].count)
        } else {
          partEnd = index < data.count ? min(end, data[index].position) : end
        }
        let address = run.address + UInt64(next - position)
        place(address..<address + UInt64(partEnd - next), from: next, isData: isData, in: extents)
        next = partEnd
      }
      position = end
    }
  }

  private mutating func place(
    _ range: Range<UInt64>, from position: Int, isData: Bool, in extents: FileExtents
  ) {
    extents.forEachPart(of: range) { part, offset in
      guard let offset else { return }
      let count = part.upperBound - part.lowerBound
      if isData {
        parts.append(
          WriteQueue.PlacedPart(
            position: position + Int(part.lowerBound - range.lowerBound), count: Int(count),
            fileOffset: offset))
      } else if let last = zeros.indices.last, zeros[last].upperBound == offset {
        zeros[last] = zeros[last].lowerBound..<offset + count
      } else {
        zeros.append(offset..<offset + count)
      }
    }
  }
}
