import Glibc
import SluiceTestSupport

/// What the kernel says of this process.
enum Kernel {
  /// The calling thread's name, as it stands in /proc/self/task/*/comm.
  static var threadName: String { String(text(of: "/proc/thread-self/comm").prefix { $0 != "\n" }) }

  /// The calling thread's number in /proc/self/task.
  static var threadID: Int {
    var link = [UInt8](repeating: 0, count: 64)
    let count = unsafe link.withUnsafeMutableBytes { bytes in
      unsafe readlink("/proc/thread-self", bytes.baseAddress!, bytes.count)
    }
    let target = String(decoding: link[..<max(0, count)], as: UTF8.self)
    return target.split(separator: "/").last.flatMap { Int($0) } ?? -1
  }

  /// Whether a thread of this process has that number.
  static func hasThread(id: Int) -> Bool {
    unsafe access("/proc/self/task/\(id)", F_OK) == 0
  }

  /// The processors that a thread of this process may run on, as a list of the kernel's, such as "0-1,4"; nil when
  /// there is no such thread.
  static func allowedProcessors(threadID: Int) -> String? {
    let line = text(of: "/proc/self/task/\(threadID)/status").split(separator: "\n").first {
      $0.hasPrefix("Cpus_allowed_list:")
    }
    return line?.split(separator: "\t").last.map(String.init)
  }

  /// The numbers of the threads that this process has at this moment.
  static var threadIDs: [Int] { (names(in: "/proc/self/task") ?? []).compactMap { Int($0) } }

  /// The name of a thread of this process; nil when there is none with that number.
  static func threadName(id: Int) -> String? {
    let text = text(of: "/proc/self/task/\(id)/comm")
    return text.isEmpty ? nil : String(text.prefix { $0 != "\n" })
  }

  /// What smaps says of the mapping that an address is in, such as `["VmFlags": "rd wr mr mw me dc"]`.
  static func mapping(at address: UInt) -> [String: String] {
    var fields: [String: String] = [:]
    var isInside = false
    for line in text(of: "/proc/self/smaps").split(separator: "\n") {
      let bounds = line.prefix { $0 != " " }.split(separator: "-").compactMap { UInt($0, radix: 16) }
      if bounds.count == 2 {
        isInside = (bounds[0]..<bounds[1]).contains(address)
      } else if isInside, let colon = line.firstIndex(of: ":") {
        fields[String(line[..<colon])] = String(line[line.index(after: colon)...].drop { $0 == " " })
      }
    }
    return fields
  }

  /// How many pages of a range are in memory.
  static func residentPages(_ bytes: UnsafeMutableRawBufferPointer) -> Int {
    let pageSize = sysconf(Int32(_SC_PAGESIZE))
    var pages = [UInt8](repeating: 0, count: bytes.count / pageSize)
    let result = unsafe mincore(bytes.baseAddress!, bytes.count, &pages)
    precondition(result == 0, "mincore knows every mapping of our own")
    return pages.count { $0 & 1 != 0 }
  }

  private static func text(of path: String) -> String {
    let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return "" }
    defer { close(descriptor) }
    var text: [UInt8] = []
    var part = [UInt8](repeating: 0, count: 64 << 10)
    while true {
      let count = unsafe part.withUnsafeMutableBytes { unsafe read(descriptor, $0.baseAddress!, $0.count) }
      guard count > 0 else { return String(decoding: text, as: UTF8.self) }
      text += part[..<count]
    }
  }
}
