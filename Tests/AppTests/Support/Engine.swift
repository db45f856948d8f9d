import Foundation
import SluiceTestSupport
import SluiceWire
import Testing

/// A container engine, as far as `sluice swrk` gets to know it: the test, at the other end of a socket.
struct Engine {
  let program: Program

  /// Runs `sluice swrk` until `body` has ended.
  ///
  /// - Parameters:
  ///   - criu: where the real CRIU is said to be.
  ///   - environment: further variables.
  ///   - inherited: descriptors that it has from the engine, beside the socket, which is 3.
  static func run<Result>(
    criu: String = "/nowhere/criu", environment: [String: String] = [:], inherited: [Int32: Int32] = [:],
    _ body: (Engine) async throws -> Result
  ) async throws -> Result {
    var command = try Command(built: "sluice", ["swrk", "3"])
    command.hasSocket = true
    command.inherited = inherited
    command.environment = environment.merging(["SLUICE_CRIU": criu]) { ours, _ in ours }
    return try await withProgram(command) { try await body(Engine(program: $0)) }
  }

  /// Sends a packet, and waits for the answer.
  func ask(_ packet: [UInt8]) async throws -> EngineAnswer {
    try program.send(packet: packet)
    return try #require(EngineAnswer(packet: try await program.nextPacket()))
  }

  /// Asks for nothing more, and waits for the end.
  func end() async throws -> CommandResult {
    program.endPackets()
    return try await program.result()
  }
}

/// A message of protobuf, written by the format's description rather than by the code under test.
struct WireMessage {
  private(set) var bytes: [UInt8] = []

  init(_ fields: [(number: Int, value: Value)] = []) {
    for field in fields { add(field.number, field.value) }
  }

  enum Value {
    case integer(Int)
    case text(String)
    case message(WireMessage)
  }

  mutating func add(_ number: Int, _ value: Value) {
    switch value {
    case .integer(let integer):
      add(varint: UInt64(number << 3))
      add(varint: UInt64(bitPattern: Int64(integer)))
    case .text(let text): add(number, Array(text.utf8))
    case .message(let message): add(number, message.bytes)
    }
  }

  private mutating func add(_ number: Int, _ content: [UInt8]) {
    add(varint: UInt64(number << 3 | 2))
    add(varint: UInt64(content.count))
    bytes += content
  }

  private mutating func add(varint value: UInt64) {
    var rest = value
    while rest >= 0x80 {
      bytes.append(UInt8(rest & 0x7f) | 0x80)
      rest >>= 7
    }
    bytes.append(UInt8(rest))
  }

  /// A request of this type, with options.
  static func request(
    _ type: Int, _ options: [(number: Int, value: Value)]? = nil, keepsOpen: Bool = false
  ) -> [UInt8] {
    var request = WireMessage([(1, .integer(type))])
    if let options { request.add(2, .message(WireMessage(options))) }
    if keepsOpen { request.add(4, .integer(1)) }
    return request.bytes
  }
}

/// A directory that the test has open, for an engine to name by its descriptor.
final class OpenDirectory: Sendable {
  let number: Int32
  let path: String

  init(making path: String) throws {
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    self.path = path
    number = unsafe open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    try #require(number >= 0)
  }

  deinit {
    close(number)
  }
}
