import Foundation
import Glibc
import Logging
import Sluice
import SluiceSystem
import SluiceTestSupport
import Synchronization

/// What a server has said of its sessions.
final class Reports: Sendable {
  private let state = Mutex<[SessionReport]>([])
  var all: [SessionReport] { state.withLock { $0 } }
  func add(_ report: SessionReport) { state.withLock { $0.append(report) } }
}

/// What was logged.
final class RecordedLog: Sendable {
  private let state = Mutex<[String]>([])
  var lines: [String] { state.withLock { $0 } }

  var logger: Logger {
    Logger(label: "test") { _ in Handler(log: self) }
  }

  private struct Handler: LogHandler {
    let log: RecordedLog
    var metadata: Logger.Metadata = [:]
    var logLevel = Logger.Level.trace
    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
      get { metadata[key] }
      set { metadata[key] = newValue }
    }
    func log(event: LogEvent) { log.state.withLock { $0.append("\(event.message)") } }
  }
}

/// Two ends of a connection.
func connectedSockets() throws -> (Int32, Int32) {
  var pair: [Int32] = [-1, -1]
  guard unsafe socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &pair) == 0 else {
    throw TestFailure("making two sockets: \(errno)")
  }
  return (pair[0], pair[1])
}

/// A server that answers the first question and the first opening, takes some bytes, and is gone, or stays and takes nothing.
final class RawServer: Sendable {
  private let listener: Listener
  private let begun = Atomic(false)
  private let isOver = Atomic(false)
  let port: UInt16

  init() throws {
    listener = try Listener(at: SocketAddress(host: "127.0.0.1", port: 0), backlog: 4)
    port = listener.port
  }

  var hasBegun: Bool { begun.load(ordering: .sequentiallyConsistent) }
  func end() { isOver.store(true, ordering: .sequentiallyConsistent) }

  func takeSome(answers: [UInt8], thenTakes count: Int, stays: Bool = false) throws {
    guard case .connection(let descriptor) = try listener.next(within: .seconds(60)) else {
      throw TestFailure("no client came")
    }
    let socket = try StreamSocket(owning: descriptor, patience: .seconds(30))
    try take(24, from: socket)
    try socket.send(unsafe answers.span.bytes)
    try take(24, from: socket)
    try socket.send(unsafe [UInt8(1)].span.bytes)
    begun.store(true, ordering: .sequentiallyConsistent)
    try take(count, from: socket)
    while stays, !isOver.load(ordering: .sequentiallyConsistent) { usleep(10_000) }
  }

  private func take(_ count: Int, from socket: borrowing StreamSocket) throws {
    var left = count
    while left > 0 {
      var bytes = [UInt8](repeating: 0, count: min(left, 64 << 10))
      var span = bytes.mutableSpan
      var room = unsafe span.mutableBytes
      let got = try socket.receiveSome(into: &room)
      guard got > 0 else { throw TestFailure("the client has ended the connection") }
      left -= got
    }
  }
}
