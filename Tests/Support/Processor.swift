import Foundation

/// What the processor that the tests run on can do, by the names of /proc/cpuinfo.
public enum Processor {
  /// Whether it has this, and the kernel makes use of it.
  public static func has(_ flag: String) -> Bool {
    let text = (try? String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8)) ?? ""
    let flags = text.split(separator: "\n").first { $0.hasPrefix("flags") }
    return flags?.split(separator: " ").contains { $0 == flag } ?? false
  }
}
