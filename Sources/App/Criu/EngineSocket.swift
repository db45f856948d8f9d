import Glibc
import SluiceWire

/// The socket by which a container engine speaks to us: one message a packet.
struct EngineSocket {
  /// The engine is not there any more, or the socket is of no use.
  struct Broken: Error {
    /// What was being done, and why it failed; nil when the engine has simply closed its end.
    let message: String?
  }

  /// More than any request has: the kernel sends packets of some 200 KiB by default.
  private static let longestPacket = 1 << 20

  let descriptor: Int32
  /// The engine, or whoever connected us to it: descriptors in its requests are those of this process.
  let peer: Int32

  /// - Parameter descriptor: inherited from the engine.
  /// - Throws: `Broken` when it is no such socket.
  init(descriptor: Int32) throws(Broken) {
    let peer = PacketSocket.peer(of: descriptor)
    guard peer > 0 else {
      throw Broken(
        message:
          "descriptor \(descriptor), which should be the socket of an engine, is not a socket of packets"
          + " (AF_UNIX, SOCK_SEQPACKET): \(CommandFailure.text(-peer))")
    }
    self.descriptor = descriptor
    self.peer = peer
  }

  /// Waits for a packet, and leaves it there for whoever is to read it in our place.
  ///
  /// - Throws: `Broken`.
  func peek() throws(Broken) -> [UInt8] {
    let length = unsafe PacketSocket.peek(
      descriptor, into: UnsafeMutableRawBufferPointer(start: nil, count: 0))
    guard length > 0 else { throw Self.failed("waiting for a request", length) }
    guard length <= Self.longestPacket else {
      throw Broken(message: "a request of \(length) bytes is too long")
    }
    var packet = [UInt8](repeating: 0, count: length)
    let count = unsafe packet.withUnsafeMutableBytes {
      unsafe PacketSocket.peek(descriptor, into: $0)
    }
    guard count == length else { throw Self.failed("reading a request", min(count, 0)) }
    return packet
  }

  /// Takes the packet that was peeked at away.
  ///
  /// - Throws: `Broken`.
  func drop() throws(Broken) {
    let result = PacketSocket.drop(descriptor)
    guard result >= 0 else { throw Self.failed("taking a request", result) }
  }

  /// - Throws: `Broken`.
  func send(_ packet: [UInt8]) throws(Broken) {
    let result = PacketSocket.send(packet, to: descriptor)
    guard result >= 0 else { throw Self.failed("answering the engine", result) }
  }

  private static func failed(_ doing: String, _ result: Int) -> Broken {
    Broken(message: result < 0 ? "\(doing): \(CommandFailure.text(Int32(-result)))" : nil)
  }
}
