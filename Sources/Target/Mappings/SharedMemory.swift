internal import CSluiceLinux
import Glibc
internal import SluiceSystem

/// What there is of memory that is shared by way of a file, whether or not the process itself has come to it yet: the file
/// tells, where we may open it.
public enum SharedMemory {
  /// More ranges than these are not told apart: neighbours are joined over their gaps.
  private static let mostRanges = 16 << 10

  /// The ranges of a mapping that there is something of, in address order; nil where the file cannot be asked
  /// (/proc/PID/map_files takes CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN).
  ///
  /// - Throws: `TargetError` with `cancelled`.
  public static func ranges(of vma: VMA, in process: TargetProcess) throws(TargetError) -> [Range<UInt64>]? {
    let bounds = "\(String(vma.start, radix: 16))-\(String(vma.end, radix: 16))"
    let file: ProcFile
    do throws(ProcFile.OpenFailed) {
      file = try ProcFile(path: "/proc/\(process.pid)/map_files/\(bounds)", access: .readIfAllowed)
    } catch {
      return nil
    }
    let pageSize = UInt64(sluice_page_size())
    let end = vma.fileOffset + vma.byteCount
    var ranges: [Range<UInt64>] = []
    var position = vma.fileOffset
    while position < end {
      try TargetError.checkCancellation()
      let data = sluice_next_data(file.descriptor, position)
      if data == -Int64(ENXIO) { break }
      guard data >= 0 else { return nil }
      let first = UInt64(data) / pageSize * pageSize
      guard first < end else { break }
      let hole = sluice_next_hole(file.descriptor, UInt64(data))
      guard hole > data else { return nil }
      let behind = min(end, (UInt64(hole) + pageSize - 1) / pageSize * pageSize)
      let start = vma.start + max(first, position) - vma.fileOffset
      let range = start..<vma.start + behind - vma.fileOffset
      if let last = ranges.indices.last,
        ranges.count >= mostRanges || ranges[last].upperBound >= range.lowerBound
      {
        ranges[last] = ranges[last].lowerBound..<range.upperBound
      } else {
        ranges.append(range)
      }
      position = behind
    }
    return ranges
  }
}

extension TargetProcess {
  /// The mappings that the process has at this moment, in address order.
  ///
  /// - Throws: `TargetError` when they cannot be listed, or the memory is gone.
  public func mappings() throws(TargetError) -> [VMA] {
    var map = MemoryMap(of: self)
    var found: [VMA] = []
    while let vma = try map.next() { found.append(vma) }
    return found
  }

  /// Some bytes of its memory; nil where they cannot be read.
  public func bytes(at address: UInt64, count: Int) -> [UInt8]? {
    var bytes = [UInt8](repeating: 0, count: count)
    var run = MemoryRun(address: address, length: UInt64(count))
    let got = unsafe bytes.withUnsafeMutableBytes {
      unsafe sluice_process_vm_readv(pid, $0.baseAddress, count, &run, 1)
    }
    return got == count ? bytes : nil
  }
}
