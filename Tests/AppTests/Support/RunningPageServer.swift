import Foundation
import SluiceTestSupport
import Testing

/// A `sluice page-server` that listens.
struct RunningPageServer {
  let program: Program
  let port: UInt16

  /// Runs it, at 127.0.0.1, until `body` has ended.
  ///
  /// - Parameters:
  ///   - inherited: descriptors that it has from the test.
  ///   - environment: further variables.
  static func run<Result>(
    _ arguments: [String], inherited: [Int32: Int32] = [:], environment: [String: String] = [:],
    _ body: (RunningPageServer) async throws -> Result
  ) async throws -> Result {
    var command = try Command(
      built: "sluice", ["page-server", "--address", "127.0.0.1", "--no-sync"] + arguments)
    command.inherited = inherited
    command.environment = environment
    return try await withProgram(command) { program in
      try await eventually("the server listens") {
        try program.hasEnded || Self.port(in: program.errorsSoFar()) != nil
      }
      let said = try program.errorsSoFar()
      let port = try #require(Self.port(in: said), "\(said)")
      return try await body(RunningPageServer(program: program, port: port))
    }
  }

  /// The port that a server says it listens at.
  static func port(in text: String) -> UInt16? {
    guard let line = text.split(separator: "\n").first(where: { $0.hasPrefix("sluice: listening at ") }),
      text.contains("\n")
    else { return nil }
    return line.split(separator: " ").last.flatMap { UInt16($0) }
  }

  /// The options of a pre-dump that sends its pages there.
  var client: [String] { Self.client(port) }

  /// The options of a pre-dump that sends its pages to this port.
  static func client(_ port: UInt16) -> [String] {
    ["--page-server", "--address", "127.0.0.1", "--port", "\(port)", "--no-sync"]
  }
}

/// A client that sends what it likes.
final class RawClient: Sendable {
  private let number: Int32

  init(port: UInt16) throws {
    number = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    let result = unsafe withUnsafePointer(to: &address) { address in
      unsafe address.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        unsafe connect(number, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
    guard result == 0 else { throw TestFailure("connecting to port \(port): \(errno)") }
  }

  deinit { close(number) }

  func send(_ bytes: [UInt8]) throws {
    guard unsafe Glibc.send(number, bytes, bytes.count, Int32(MSG_NOSIGNAL)) == bytes.count else {
      throw TestFailure("sending: \(errno)")
    }
  }

  /// Receives so many bytes; fewer at the end.
  func receive(_ count: Int) async throws -> [UInt8] {
    try await blocking { [self] in
      var bytes = [UInt8](repeating: 0, count: count)
      let got = unsafe recv(number, &bytes, count, Int32(MSG_WAITALL))
      return Array(bytes.prefix(max(got, 0)))
    }
  }

  /// Sends nothing more.
  func end() { shutdown(number, Int32(SHUT_WR)) }
}

/// Two ends of a connection, open as long as this value is.
final class ConnectedSockets: Sendable {
  let ends: (Int32, Int32)

  init() throws {
    var pair: [Int32] = [-1, -1]
    let kind = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue)
    guard unsafe socketpair(AF_UNIX, kind, 0, &pair) == 0 else {
      throw TestFailure("making two sockets: \(errno)")
    }
    ends = (pair[0], pair[1])
  }

  deinit {
    close(ends.0)
    close(ends.1)
  }
}

/// A socket that a service says to how it is, as systemd has one.
final class NotifySocket: Sendable {
  let path: String
  private let number: Int32

  init(at path: String) throws {
    self.path = path
    number = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: path.utf8) }
    let result = unsafe withUnsafePointer(to: &address) { address in
      unsafe address.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        unsafe bind(number, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
    guard result == 0 else { throw TestFailure("binding \(path): \(errno)") }
    var limit = timeval(tv_sec: 60, tv_usec: 0)
    unsafe setsockopt(
      number, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
  }

  deinit { close(number) }

  /// What is said next; empty where nothing is for long.
  func next() async throws -> String {
    try await blocking { [self] in
      var bytes = [UInt8](repeating: 0, count: 256)
      let got = unsafe recv(number, &bytes, bytes.count, 0)
      return String(decoding: bytes.prefix(max(got, 0)), as: UTF8.self)
    }
  }
}
