import Glibc

/// What happened to the names in a directory since this was made, in order, by inotify(7).
struct DirectoryEvents: ~Copyable {
  private let descriptor: Int32

  init(path: String) {
    descriptor = inotify_init1(Int32(IN_CLOEXEC | IN_NONBLOCK))
    let mask = UInt32(IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE)
    let watch = unsafe inotify_add_watch(descriptor, path, mask)
    precondition(descriptor >= 0 && watch >= 0, "a directory can be watched")
  }

  deinit {
    close(descriptor)
  }

  /// Such as "create pages-1.img.partial", "to pages-1.img".
  func all() -> [String] {
    var (events, buffer) = ([String](), [UInt8](repeating: 0, count: 64 << 10))
    while true {
      let count = unsafe buffer.withUnsafeMutableBytes { unsafe read(descriptor, $0.baseAddress!, $0.count) }
      guard count > 0 else { return events }
      // struct inotify_event: int wd, u32 mask, u32 cookie, u32 len; then the name, filled up with zeros.
      var rest = buffer[..<count]
      while rest.count >= 16 {
        let (mask, length) = (Self.number(rest.dropFirst(4)), Int(Self.number(rest.dropFirst(12))))
        let name = String(decoding: rest.dropFirst(16).prefix(length).prefix { $0 != 0 }, as: UTF8.self)
        events.append("\(Self.verb(mask)) \(name)")
        rest = rest.dropFirst(16 + length)
      }
    }
  }

  private static func number(_ bytes: ArraySlice<UInt8>) -> UInt32 {
    bytes.prefix(4).reversed().reduce(0) { $0 << 8 | UInt32($1) }
  }

  private static func verb(_ mask: UInt32) -> String {
    switch Int32(mask & 0xffff) {
    case IN_CREATE: "create"
    case IN_MOVED_TO: "to"
    case IN_MOVED_FROM: "from"
    case IN_DELETE: "delete"
    default: "mask \(mask)"
    }
  }
}
