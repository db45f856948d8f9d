internal import CSluiceLinux
import Glibc
internal import SluiceSystem

/// What there is of memory that is shared by way of a file, whether or not the process itself has come to it yet: the file
/// tells, where we may open it.
public enum SharedMemory {
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
    var found = FoundRanges()
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
      found.append(start..<vma.start + behind - vma.fileOffset)
      position = behind
    }
    return found.ranges
  }
}
