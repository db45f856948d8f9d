import Glibc

/// Sockets of packets (AF_UNIX, SOCK_SEQPACKET), by which `criu swrk` is spoken to. Everything returns -errno when it fails.
enum PacketSocket {
  /// The pid of the process that made the connection, as we see it. -EBADF, -ENOTSOCK or -EPROTOTYPE when the descriptor
  /// is no such socket, -ESRCH when the process is none of our pid namespace.
  static func peer(of socket: Int32) -> Int32 {
    var (domain, type): (Int32, Int32) = (0, 0)
    for (option, isDomain) in [(SO_DOMAIN, true), (SO_TYPE, false)] {
      var value: Int32 = 0
      var size = socklen_t(MemoryLayout<Int32>.size)
      guard unsafe getsockopt(socket, SOL_SOCKET, option, &value, &size) == 0 else { return -errno }
      if isDomain { domain = value } else { type = value }
    }
    guard domain == AF_UNIX, type == Int32(SOCK_SEQPACKET.rawValue) else { return -EPROTOTYPE }
    // struct ucred, which needs a feature macro: pid, uid and gid.
    var peer = [Int32](repeating: 0, count: 3)
    var size = socklen_t(peer.count * MemoryLayout<Int32>.size)
    guard unsafe getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 else { return -errno }
    return peer[0] > 0 ? peer[0] : -ESRCH
  }

  /// Waits for a packet and leaves it there.
  ///
  /// - Returns: its length, which may be more than there is room for; 0 when the other end is closed.
  static func peek(_ socket: Int32, into room: UnsafeMutableRawBufferPointer) -> Int {
    retried { unsafe recv(socket, room.baseAddress, room.count, Int32(MSG_PEEK | MSG_TRUNC)) }
  }

  /// Takes the packet that is there away.
  static func drop(_ socket: Int32) -> Int {
    var byte: UInt8 = 0
    return retried { unsafe recv(socket, &byte, 1, 0) }
  }

  /// Sends a packet, as a whole or not at all. -EPIPE when the other end is closed.
  static func send(_ packet: [UInt8], to socket: Int32) -> Int {
    retried { unsafe Glibc.send(socket, packet, packet.count, Int32(MSG_NOSIGNAL)) }
  }

  /// Makes two sockets that are connected with each other, both close-on-exec; nil where that fails, which errno tells of.
  static func pair() -> (Int32, Int32)? {
    var ends: [Int32] = [-1, -1]
    let kind = Int32(SOCK_SEQPACKET.rawValue | SOCK_CLOEXEC.rawValue)
    return unsafe socketpair(AF_UNIX, kind, 0, &ends) == 0 ? (ends[0], ends[1]) : nil
  }

  private static func retried(_ call: () -> Int) -> Int {
    while true {
      let result = call()
      if result >= 0 { return result }
      if errno != EINTR { return -Int(errno) }
    }
  }
}
