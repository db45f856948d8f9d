import Glibc

/// What systemd, or another service manager that does the same, has for a service: sockets that listen already
/// (sd_listen_fds(3)), and who wants to know when it is ready (sd_notify(3)).
enum ServiceManager {
  /// The first descriptor that a service inherits.
  private static let firstDescriptor: Int32 = 3

  /// The socket to listen with; nil where there is none. Further ones are left alone.
  static var listeningDescriptor: Int32? {
    guard let pid = number("LISTEN_PID"), pid == getpid(), let count = number("LISTEN_FDS"), count > 0 else {
      return nil
    }
    _ = fcntl(firstDescriptor, F_SETFD, FD_CLOEXEC)
    return firstDescriptor
  }

  private static func number(_ name: String) -> Int32? {
    unsafe getenv(name).flatMap { unsafe Int32(String(cString: $0)) }
  }

  /// Says how the service is: "READY=1", "STOPPING=1", "STATUS=...". Where nobody wants to know, nothing is said.
  static func tell(_ state: String) {
    guard let path = unsafe getenv("NOTIFY_SOCKET").map({ unsafe String(cString: $0) }), path.count > 1 else {
      return
    }
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    var name = Array(path.utf8)
    // An abstract name.
    if name[0] == UInt8(ascii: "@") { name[0] = 0 }
    let room = MemoryLayout.size(ofValue: address.sun_path)
    guard name.count < room else { return }
    unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: name) }
    let socket = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
    guard socket >= 0 else { return }
    defer { close(socket) }
    let length = socklen_t(MemoryLayout<sa_family_t>.size + name.count)
    let bytes = Array(state.utf8)
    // Whoever does not hear it has no use for it.
    _ = unsafe withUnsafePointer(to: &address) { pointer in
      unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        unsafe sendto(socket, bytes, bytes.count, Int32(MSG_NOSIGNAL), $0, length)
      }
    }
  }
}
