internal import CSluiceLinux
import Glibc
internal import SluiceSystem

/// What /proc/PID/smaps says of a mapping beside the line that /proc/PID/maps has: proc_pid_smaps(5).
public struct MappingDetails: Hashable, Sendable {
  /// The mapping.
  public let vma: VMA
  /// Pages that are the process's own, in memory or swapped, in bytes.
  public fileprivate(set) var ownBytes: UInt64 = 0
  /// Whether the process wants none of it in a core (MADV_DONTDUMP).
  public fileprivate(set) var isLeftOut = false
  /// Whether it is the memory of a device.
  public fileprivate(set) var isDevice = false
  /// Whether it is of huge pages that were set aside (hugetlbfs).
  public fileprivate(set) var isHugetlb = false

  fileprivate init(_ vma: VMA) { self.vma = vma }

  /// Reads those of all mappings, in address order.
  ///
  /// The kernel looks at all page tables for that, and holds the process's mmap_lock while it looks at one mapping: 20 ms
  /// for a GiB in pages of 4 KiB (measured). So it is read as seldom as can be.
  ///
  /// - Throws: `TargetError` when they cannot be read, or the process is gone.
  public static func read(of process: TargetProcess) throws(TargetError) -> [MappingDetails] {
    var lines = DetailLines(of: try open(process))
    var found: [MappingDetails] = []
    var end: UInt64 = 0
    while true {
      let more: Bool
      do throws(ProcFile.OpenFailed) {
        more = try lines.next { line in
          if let vma = VMA(line: line) {
            // One that was split or merged meanwhile can come twice.
            found.append(MappingDetails(vma.start >= end ? vma : vma.cut(from: min(end, vma.end - 1))))
            end = max(end, vma.end)
          } else if let last = found.indices.last {
            found[last].take(line)
          }
        }
      } catch {
        throw process.failure(of: "reading smaps", errno: error.errno)
      }
      guard more else { break }
      try TargetError.checkCancellation()
    }
    if found.isEmpty { try process.checkMemoryIsThere() }
    return found
  }

  private static func open(_ process: TargetProcess) throws(TargetError) -> ProcFile {
    do throws(ProcFile.OpenFailed) {
      return try ProcFile(path: "/proc/\(process.pid)/smaps")
    } catch {
      throw process.failure(of: "opening smaps", errno: error.errno)
    }
  }

  private mutating func take(_ line: Span<UInt8>) {
    var scanner = LineScanner(line: line)
    if scanner.skip("Anonymous:") || scanner.skip("Swap:") {
      scanner.skipSpaces()
      ownBytes += (scanner.decimal() ?? 0) << 10
    } else if scanner.skip("VmFlags:") {
      while !scanner.isAtEnd {
        scanner.skipSpaces()
        if scanner.skip("dd") {
          isLeftOut = true
        } else if scanner.skip("io") {
          isDevice = true
        } else if scanner.skip("ht") {
          isHugetlb = true
        } else {
          scanner.skipWord()
        }
      }
    }
  }
}

/// Reads a file of /proc line by line, in memory of a fixed size.
private struct DetailLines: ~Copyable {
  private let file: ProcFile
  private var text = [UInt8](repeating: 0, count: MemoryMap.textBytes)
  private var position = 0
  private var length = 0

  init(of file: consuming ProcFile) { self.file = file }

  /// Gives the lines of the next part to `body`, without their newlines.
  ///
  /// - Returns: false at the end of the file.
  mutating func next(_ body: (Span<UInt8>) -> Void) throws(ProcFile.OpenFailed) -> Bool {
    text.replaceSubrange(0..<(length - position), with: text[position..<length])
    length -= position
    position = 0
    let (used, room, descriptor) = (length, text.count - length, file.descriptor)
    // A line that is longer than all room is none of these files.
    guard room > 0 else { throw ProcFile.OpenFailed(errno: SystemErrno(code: E2BIG)) }
    let count = unsafe text.withUnsafeMutableBytes {
      unsafe sluice_read(descriptor, $0.baseAddress! + used, room)
    }
    guard count >= 0 else { throw ProcFile.OpenFailed(errno: SystemErrno(returned: count)) }
    guard count > 0 else { return false }
    length += count
    while let newline = text[position..<length].firstIndex(of: UInt8(ascii: "\n")) {
      body(text.span.extracting(position..<newline))
      position = newline + 1
    }
    return true
  }
}

extension LineScanner {
  fileprivate mutating func skip(_ word: StaticString) -> Bool {
    var other = self
    for index in 0..<word.utf8CodeUnitCount {
      guard unsafe other.skip(word.utf8Start[index]) else { return false }
    }
    self = other
    return true
  }
}
