internal import CSluiceLinux

/// The memory of a process in ranges that can be registered as a whole, holes included, from low addresses to high ones.
///
/// No mapping is registered by itself, as it was listed: it may have been moved or made longer since, and to register
/// some of a mapping splits it, so that the process can no longer move it as one (mremap: EFAULT). So a range goes from one
/// mapping that cannot be registered to the next such one, and every mapping that begins and ends between them is
/// registered whole. Shared memory, which is never copied, is registered with the rest for that reason alone, and never
/// protected.
struct RegistrableRanges: ~Copyable {
  /// A mapping in a range, as it was listed.
  struct Mapping {
    let start: UInt64
    let end: UInt64
  }

  /// So many mappings are registered in one go (about 3 µs each, during which the process cannot map memory), and more
  /// only where there is no hole between them in which a range can end.
  private static let fewMappings = 256
  private static let mostMappings = 4096

  /// The mappings of the last range.
  private(set) var mappings: [Mapping] = []
  /// All mappings that were listed so far, also those that are in no range.
  private(set) var mappingCount = 0
  private var map: MemoryMap
  private var rules: PageRules
  private var ahead: VMA?
  /// Where the next range begins; nil where the first mapping does, below which the kernel lets nothing be registered
  /// (vm.mmap_min_addr).
  private var low: UInt64?

  init(of process: TargetProcess) {
    map = MemoryMap(of: process)
    rules = PageRules(for: process)
  }

  /// The next range that has mappings; nil after the last.
  ///
  /// - Throws: `TargetError` when the mappings cannot be listed, or the memory is gone.
  mutating func next() throws(TargetError) -> Range<UInt64>? {
    mappings.removeAll(keepingCapacity: true)
    while true {
      var vma = ahead.take()
      if vma == nil {
        vma = try map.next()
        if vma != nil { mappingCount += 1 }
      }
      // The kernel's own mapping, above all that a process can have, is the last one.
      guard let vma, vma.start <= Self.highestAddress else {
        guard let first = mappings.first, let last = mappings.last else { return nil }
        return (low ?? first.start)..<last.end
      }
      guard try rules.isRegistrable(vma) else {
        let begin = low ?? mappings.first?.start
        low = vma.end
        guard let begin, !mappings.isEmpty else { continue }
        return begin..<max(begin, vma.start)
      }
      if let first = mappings.first, let last = mappings.last, isFull(before: vma) {
        // In the middle of the hole: what grows into it, from either side, is registered whole.
        let middle = last.end + (vma.start - last.end) / 2 / Self.alignment * Self.alignment
        let begin = low ?? first.start
        ahead = vma
        low = middle
        return begin..<middle
      }
      mappings.append(Mapping(start: vma.start, end: vma.end))
    }
  }

  private static let highestAddress = UInt64(Int64.max)

  /// A multiple of every page size that there is, but for those of hugetlbfs.
  private static let alignment: UInt64 = 64 << 10

  private func isFull(before vma: VMA) -> Bool {
    guard let last = mappings.last, mappings.count >= Self.fewMappings else { return false }
    return vma.start - last.end >= 4 * Self.alignment || mappings.count >= Self.mostMappings
  }

  /// Where the range is divided so that a mapping begins the upper part: in the middle of the hole below the mapping.
  func boundary(before index: Int) -> UInt64 {
    let (below, start) = (mappings[index - 1].end, mappings[index].start)
    return below + (start - below) / 2 / Self.alignment * Self.alignment
  }
}
