internal import CSluiceLinux
import Glibc

/// Reads the mappings of a process in address order, one after the other, in memory of a fixed size.
///
/// The kernel gives /proc/PID/maps a few kilobytes at a time and lets the process go on in between, so the
/// list is no snapshot: a mapping that was split or merged meanwhile can come twice. Each one is therefore
/// cut to what lies above the one before.
public struct MemoryMap: ~Copyable {
  /// The bytes of text held at once; the longest line is a path (PATH_MAX, each byte written in up to four).
  public static let textBytes = 20 << 10

  private let file: ProcFile
  private let pid: Int32
  private var text: [UInt8]
  private var position = 0
  private var length = 0
  private var isAtEnd = false
  private var lastEnd: UInt64 = 0

  /// - Throws: `TargetError` when the list cannot be opened.
  public init(of process: TargetProcess) throws(TargetError) {
    pid = process.pid
    file = try TargetProcess.open("maps", of: process.pid)
    text = [UInt8](repeating: 0, count: Self.textBytes)
  }

  /// The next mapping, or nil after the last.
  ///
  /// - Throws: `TargetError` when the list cannot be read.
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
          throw TargetError(.systemCall, "/proc/\(pid)/maps holds a line that is not in the kernel's form")
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
    let (descriptor, used, room) = (file.descriptor, length, text.count - length)
    guard room > 0 else {
      throw TargetError(.systemCall, "/proc/\(pid)/maps holds a line longer than any path can make it")
    }
    let count = unsafe text.withUnsafeMutableBytes {
      unsafe sluice_read(descriptor, $0.baseAddress! + used, room)
    }
    // The memory may be gone by now (ESRCH): the mappings simply end, and the check of the process tells why.
    guard count >= 0 || count == -Int(ESRCH) else {
      throw TargetError(.systemCall, "reading /proc/\(pid)/maps", errno: SystemErrno(returned: count))
    }
    isAtEnd = count <= 0
    length += max(0, count)
  }

  /// The bounds of the mapping that `address` is in, or else of the next one above it; nil when there is none.
  ///
  /// Asked of the kernel at this moment, not of what was read before.
  static func mapping(atOrAbove address: UInt64, of process: TargetProcess) throws(TargetError) -> Range<
    UInt64
  >? {
    switch try process.mapping(atOrAbove: address) {
    case .mapping(let mapping): mapping.start..<mapping.end
    case .none: nil
    case .cannotBeAsked: try listedMapping(atOrAbove: address, of: process)
    }
  }

  /// The same from the whole list, which is all there is before Linux 6.11.
  static func listedMapping(
    atOrAbove address: UInt64, of process: TargetProcess
  ) throws(TargetError) -> Range<UInt64>? {
    var map = try MemoryMap(of: process)
    while let vma = try map.next() {
      if vma.end > address { return vma.start..<vma.end }
    }
    return nil
  }
}
