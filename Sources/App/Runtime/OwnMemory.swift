import Glibc

/// The memory that this program takes.
enum OwnMemory {
  /// The most it has taken so far, in bytes; nil where the kernel does not tell.
  ///
  /// VmHWM and not ru_maxrss: the latter is inherited from a big parent.
  static var peakBytes: UInt64? {
    guard let file = unsafe fopen("/proc/self/status", "re") else { return nil }
    defer { unsafe fclose(file) }
    var line = [CChar](repeating: 0, count: 256)
    while unsafe fgets(&line, Int32(line.count), file) != nil {
      let fields = String(
        decoding: line.prefix(while: { $0 != 0 }).map(UInt8.init(bitPattern:)), as: UTF8.self
      )
      .split(whereSeparator: { $0 == "\t" || $0 == " " || $0 == "\n" })
      if fields.first == "VmHWM:", fields.count >= 2 { return UInt64(fields[1]).map { $0 << 10 } }
    }
    return nil
  }
}
