internal import SluicePipeline
internal import SluiceTarget

/// What the last round of several into sinks has looked at: memory that was there then, and of which the next round copies
/// what was written since.
final class CoveredMemory: Sendable {
  private let ranges = Locked<[Int32: [Range<UInt64>]]>([:])

  /// Takes the memory of the processes of a round that has just begun.
  ///
  /// - Throws: `SluiceError` where the first process is gone; when the kernel does not tell.
  func look(at processes: [DumpedProcess]) throws(SluiceError) {
    var found: [Int32: [Range<UInt64>]] = [:]
    for dumped in processes {
      found[dumped.process.pid] = try dumped.attempt { () throws(TargetError) -> [Range<UInt64>] in
        var rules = PageRules(for: dumped.process)
        var ranges: [Range<UInt64>] = []
        for vma in try dumped.process.mappings() {
          // What was left out may be copied by another round, which then must not take it for known.
          if case .skip = try rules.treatment(of: vma) { continue }
          if let last = ranges.indices.last, ranges[last].upperBound == vma.start {
            ranges[last] = ranges[last].lowerBound..<vma.end
          } else {
            ranges.append(vma.start..<vma.end)
          }
        }
        return ranges
      }
    }
    ranges.withLock { $0 = found }
  }

  /// The same for the next round, but for processes that have failed: of these nothing is kept.
  func written(as name: String, except failed: Set<Int32>) -> RoundParent {
    let covered = ranges.withLock { $0 }
    return .sink(RoundParent.Written(name: name, covered: covered.filter { !failed.contains($0.key) }))
  }
}
