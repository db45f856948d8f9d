internal import CSluiceLinux

/// Where to connect to, or to listen.
public struct SocketAddress: Hashable, Sendable, CustomStringConvertible {
  /// A name or a number; empty for any address of IPv4.
  public let host: String
  /// The port, in the byte order of the machine.
  public let port: UInt16

  /// An address, which is looked up when it is used.
  public init(host: String, port: UInt16) {
    self.host = host
    self.port = port
  }

  /// Whether only this machine can be at the other end.
  public var isLoopback: Bool { unsafe sluice_is_loopback_address(host) == 1 }

  /// As messages have it.
  public var description: String {
    host.contains(":") ? "[\(host)]:\(port)" : "\(host.isEmpty ? "0.0.0.0" : host):\(port)"
  }
}
