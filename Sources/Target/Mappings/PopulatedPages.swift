internal import CSluiceLinux
internal import SluiceSystem

/// The pages of a mapping that the page table has.
public enum PopulatedPages {
  /// More ranges than these are not told apart: neighbours are joined over their gaps.
  private static let mostRanges = 16 << 10

  /// The ranges of a mapping that there are pages in, in address order.
  ///
  /// - Throws: `TargetError` when the kernel does not tell, or the memory is gone.
  public static func ranges(of vma: VMA, in process: TargetProcess) throws(TargetError) -> [Range<UInt64>] {
    var scanner = try PageScanner(of: process, standsStill: true)
    var ranges: [Range<UInt64>] = []
    var position = vma.start
    while position < vma.end {
      try TargetError.checkCancellation()
      position = try scanner.step(from: position, to: vma.end, isFileBacked: false)
      for found in scanner.runs {
        let range = found.run.address..<found.run.address + found.run.length
        if let last = ranges.indices.last,
          ranges.count >= mostRanges || ranges[last].upperBound == range.lowerBound
        {
          ranges[last] = ranges[last].lowerBound..<range.upperBound
        } else {
          ranges.append(range)
        }
      }
    }
    return ranges
  }
}

extension TargetProcess {
  /// Which kinds of memory the process wants in a core, as bits: core(5). Nil where the kernel writes no cores.
  ///
  /// - Throws: `TargetError` when the process is gone.
  public func coredumpFilter() throws(TargetError) -> UInt32? {
    do throws(ProcFile.OpenFailed) {
      let text = try ProcFile.text(ofFileAt: "/proc/\(pid)/coredump_filter")
      return UInt32(text.prefix { !$0.isWhitespace }, radix: 16)
    } catch {
      if error.errno.name == "ENOENT", lives { return nil }
      throw failure(of: "reading coredump_filter", errno: error.errno)
    }
  }
}
