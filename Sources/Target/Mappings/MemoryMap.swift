internal import CSluiceLinux
import Glibc
internal import SluiceSystem
internal import Synchronization

/// Reads the mappings of a process in address order, one after the other, in memory of a fixed size.
///
/// The kernel gives /proc/PID/maps a few kilobytes at a time and lets the process go on in between, so the
/// list is no snapshot: a mapping that was split or merged meanwhile can come twice. Each one is therefore
/// cut to what lies above the one before.
///
/// Where two read one open file in turns, the kernel makes the list anew for each, and looks for the place by counting
/// bytes: of a list that has changed meanwhile the rest of some other line comes then, or lines are missing. So of several
/// values at one time each has a file of its own.
public struct MemoryMap: ~Copyable {
  /// The bytes of text held at once; the longest line is a path (PATH_MAX, each byte written in up to four).
  public static let textBytes = 20 << 10

  private let process: TargetProcess
  /// Whether it is the file that the process was opened with.
  private let isFirst: Bool
  /// Its own, once it is read, where it is not the first.
  private var own: ProcFile?
  /// How many bytes of the list were read so far.
  private var offset: UInt64 = 0
  private var text: [UInt8]
  private var position = 0
  private var length = 0
  private var isAtEnd = false
  private var lastEnd: UInt64 = 0

  /// The mappings of this process.
  public init(of process: TargetProcess) {
    self.process = process
    isFirst = !process.areMapsRead.exchange(true, ordering: .acquiring)
    text = [UInt8](repeating: 0, count: Self.textBytes)
  }

  deinit {
    if isFirst { process.areMapsRead.store(false, ordering: .releasing) }
  }

  /// The next mapping, or nil after the last.
  ///
  /// - Throws: `TargetError` when the list cannot be read, or the memory is gone.
  public mutating func next() throws(TargetError) -> VMA? {
    while true {
      guard let vma = try nextLine() else { return nil }
      guard vma.end > lastEnd else { continue }
      let unseen = vma.start >= lastEnd ? vma : vma.cut(from: lastEnd)
      lastEnd = vma.end
      return unseen
    }
  }

  private mutating func nextLine() throws(TargetError) -> VMA? {
    while true {
      if let newline = text[position..<length].firstIndex(of: UInt8(ascii: "\n")) {
        let vma = VMA(line: text.span.extracting(position..<newline))
        position = newline + 1
        guard let vma else {
          throw TargetError(
            .systemCall, "/proc/\(process.pid)/maps holds a line that is not in the kernel's form")
        }
        return vma
      }
      guard !isAtEnd else { return nil }
      try fill()
    }
  }

  private mutating func fill() throws(TargetError) {
    text.replaceSubrange(0..<(length - position), with: text[position..<length])
    length -= position
    position = 0
    if !isFirst && own == nil { own = try process.openMaps() }
    let descriptor = own?.descriptor ?? process.maps.descriptor
    let (used, room) = (length, text.count - length)
    guard room > 0 else {
      throw TargetError(
        .systemCall, "/proc/\(process.pid)/maps holds a line longer than any path can make it")
    }
    let count = unsafe text.withUnsafeMutableBytes {
      unsafe sluice_pread(descriptor, $0.baseAddress! + used, room, offset)
    }
    // Where the memory is gone the list simply ends, or cannot be read.
    guard count >= 0 || count == -Int(ESRCH) else {
      throw TargetError(.systemCall, "reading /proc/\(process.pid)/maps", errno: SystemErrno(returned: count))
    }
    if count <= 0 { try process.checkMemoryIsThere() }
    isAtEnd = count <= 0
    length += max(0, count)
    offset += UInt64(max(0, count))
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
}
