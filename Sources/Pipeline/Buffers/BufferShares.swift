/// How the buffers of a ring are divided among its parts, of which each node has one.
public struct BufferShares {
  /// With two, one is read while the other is written; a part with none would let nothing that is meant for it go on.
  public static let fewestInPart = 2

  /// What each part is to have of all, in proportion.
  var weights: [Double]
  /// How many buffers a part can have at most.
  let mostInPart: Int

  /// Equal shares.
  init(parts: Int, mostInPart: Int) {
    weights = Array(repeating: 1, count: parts)
    self.mostInPart = mostInPart
  }

  /// The fewest buffers with which no part comes to a stand.
  var fewest: Int { weights.count == 1 ? Self.fewestInPart : weights.count * Self.fewestInPart }

  /// Divides so many buffers. Together the parts never have more.
  func divide(_ count: Int) -> [Int] {
    let count = max(0, count)
    guard weights.count > 1 else { return [min(count, mostInPart)] }
    // Fewer than it takes are only there while a ring is idle.
    guard count >= fewest else {
      return weights.indices.map { min(Self.fewestInPart, max(0, count - $0 * Self.fewestInPart)) }
    }
    let rest = count - fewest
    let total = weights.reduce(0, +)
    var counts = weights.map { weight in
      let share = total > 0 ? weight / total : 1 / Double(weights.count)
      return min(mostInPart, Self.fewestInPart + Int((Double(rest) * share).rounded(.down)))
    }
    // What rounding has left goes to those that have most to do.
    var left = count - counts.reduce(0, +)
    for part in weights.indices.sorted(by: { (weights[$0], $1) > (weights[$1], $0) }) where left > 0 {
      let added = min(left, mostInPart - counts[part])
      counts[part] += added
      left -= added
    }
    return counts
  }
}
