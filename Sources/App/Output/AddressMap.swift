/// A picture of an address space in a terminal: a line for each part of it that has pages, with a cell for each of
/// its equal shares.
struct AddressMap {
  /// A part of the address space, without long gaps.
  private struct Part {
    let start: UInt64
    var end: UInt64
    /// Bytes by cell.
    var present: [UInt64] = []
    var parent: [UInt64] = []
  }

  /// No more lines than a screen has.
  private static let mostParts = 40

  private var parts: [Part] = []
  /// Gaps up to this are within a part.
  private var joinedGap: UInt64 = 1 << 20
  private let cells: Int
  private let pageSize: UInt64

  /// - Parameters:
  ///   - width: the columns of the terminal.
  ///   - pageSize: in bytes. No cell stands for less.
  init(width: Int, pageSize: UInt64) {
    self.pageSize = pageSize
    // Beside the cells stand two addresses of 14 columns and a size of 10.
    cells = max(8, width - 44)
  }

  /// Takes note of where there is something. Entries come upwards.
  mutating func outline(from start: UInt64, to end: UInt64) {
    if let last = parts.indices.last, start - min(start, parts[last].end) <= joinedGap {
      parts[last].end = max(parts[last].end, end)
    } else {
      parts.append(Part(start: start, end: end))
    }
    while parts.count > Self.mostParts {
      joinedGap *= 4
      parts = parts.reduce(into: []) { joined, part in
        if let last = joined.indices.last, part.start - joined[last].end <= joinedGap {
          joined[last].end = part.end
        } else {
          joined.append(part)
        }
      }
    }
  }

  /// Fills in what is there, when all is outlined. Entries come upwards.
  mutating func fill(from start: UInt64, to end: UInt64, isInParent: Bool) {
    guard let index = parts.firstIndex(where: { $0.start <= start && end <= $0.end }) else { return }
    if parts[index].present.isEmpty {
      parts[index].present = Array(repeating: 0, count: cells)
      parts[index].parent = parts[index].present
    }
    let part = parts[index]
    let share = share(of: part)
    var position = start
    while position < end {
      let cell = Int((position - part.start) / share)
      let next = min(end, part.start + UInt64(cell + 1) * share)
      if isInParent {
        parts[index].parent[cell] += next - position
      } else {
        parts[index].present[cell] += next - position
      }
      position = next
    }
  }

  /// The picture: "#" is mostly here, "+" mostly the parent's, "." has hardly anything.
  var lines: [String] {
    parts.map { part in
      let share = share(of: part)
      let used = Int((part.end - part.start + share - 1) / share)
      let picture = (0..<used).map { cell -> Character in
        let (here, above) = part.present.isEmpty ? (0, 0) : (part.present[cell], part.parent[cell])
        if (here + above) * 4 < share { return "." }
        return here >= above ? "#" : "+"
      }
      let size = ByteCount.text(Int(part.end - part.start))
      let padding = String(repeating: " ", count: max(0, 10 - size.count))
      return "\(Self.address(part.start))-\(Self.address(part.end)) \(padding)\(size) \(String(picture))"
    }
  }

  /// The bytes that a cell stands for.
  private func share(of part: Part) -> UInt64 {
    max(pageSize, (part.end - part.start + UInt64(cells) - 1) / UInt64(cells))
  }

  private static func address(_ address: UInt64) -> String {
    let digits = String(address, radix: 16)
    return String(repeating: "0", count: max(0, 12 - digits.count)) + digits
  }
}
