internal import CSluiceLinux

/// The pages of a mapping that the page table has, of a process that stands still.
public enum PopulatedPages {
  /// The ranges of a mapping that there are pages in, in address order.
  ///
  /// - Throws: `TargetError` when the kernel does not tell, or the memory is gone.
  public static func ranges(of vma: VMA, in process: TargetProcess) throws(TargetError) -> [Range<UInt64>] {
    var scanner = try PageScanner(of: process, standsStill: true)
    var ranges = FoundRanges()
    var position = vma.start
    while position < vma.end {
      try TargetError.checkCancellation()
      position = try scanner.step(from: position, to: vma.end, isFileBacked: false)
      for found in scanner.runs {
        ranges.append(found.run.address..<found.run.address + found.run.length)
      }
    }
    return ranges.ranges
  }

  /// Whether the process has changed any page of a file that is mapped for it alone.
  ///
  /// - Throws: `TargetError` when the kernel does not tell, or the memory is gone.
  public static func hasOwn(in vma: VMA, of process: TargetProcess) throws(TargetError) -> Bool {
    var scanner = try PageScanner(of: process, standsStill: true)
    var position = vma.start
    while position < vma.end {
      position = try scanner.step(from: position, to: vma.end, isFileBacked: true)
      if !scanner.runs.isEmpty { return true }
    }
    return false
  }
}
