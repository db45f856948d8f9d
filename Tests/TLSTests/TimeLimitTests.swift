import Glibc
import SluiceTLS
import SluiceTestSupport
import Testing

@Suite(.needsTLS) struct TimeLimitTests {
  private let short = Duration.milliseconds(100)
  /// A thread of a busy machine comes late, but not that late.
  private let late = Duration.seconds(30)

  @Test(arguments: Connection.Kind.allCases)
  func `a peer that sends nothing is not waited for`(kind: Connection.Kind) async throws {
    let connection = try Connection(kind)
    let (_, server) = try await connection.sessions { session in
      #expect(try session.receiveText() == "nothing came")
      try session.send("late")
    } server: { [short] session in
      let start = ContinuousClock.now
      var errors: [TLSError] = []
      for _ in 0..<2 {
        do throws(TLSError) { _ = try session.receive(timeout: short) } catch { errors.append(error) }
      }
      let elapsed = ContinuousClock.now - start
      try session.send("nothing came")
      return (errors: errors, elapsed: elapsed, heard: try session.receiveText())
    }
    #expect(server.errors.map(\.code) == [.timedOut, .timedOut])
    #expect(server.errors.first?.description == "the client sent nothing by TLS within 0.1 seconds")
    #expect(server.elapsed >= short * 2 && server.elapsed < late)
    #expect(server.heard == "late", "the session goes on")
  }

  @Test func `what is there already needs no time`() async throws {
    let connection = try Connection()
    let (_, heard) = try await connection.sessions { session in
      try session.send("12345678")
      _ = try session.receive()
    } server: { session in
      #expect(try session.receive(atMost: 4).count == 4)
      let heard = try session.receive(timeout: .zero)
      try session.send("enough")
      return heard
    }
    #expect(heard == Array("5678".utf8))
  }

  /// Every byte is a sign of life, and no record.
  @Test func `a record must come within the time`() async throws {
    let connection = try Connection()
    let (_, error) = try await connection.sessions { [client = connection.client] session in
      for byte: UInt8 in [23, 3, 3, 64, 0] + [UInt8](repeating: 0, count: 200) {
        // The server does not wait until all of it has come.
        guard unsafe send(client, [byte], 1, Int32(MSG_NOSIGNAL)) == 1 else { return }
        usleep(10_000)
      }
      shutdown(client, Int32(SHUT_WR))
    } server: { [short, server = connection.server] session throws -> TLSError? in
      defer { shutdown(server, Int32(SHUT_RDWR)) }
      do throws(TLSError) { _ = try session.receive(timeout: short) } catch { return error }
      return nil
    }
    #expect(error?.code == .timedOut)
  }

  @Test(arguments: Connection.Kind.allCases)
  func `a peer that takes nothing is not waited for`(kind: Connection.Kind) async throws {
    let connection = try Connection(kind)
    let (client, _) = try await connection.sessions { [short] session in
      let bytes = [UInt8](repeating: 1, count: 64 << 20)
      let start = ContinuousClock.now
      var errors: [TLSError] = []
      for _ in 0..<2 {
        do throws(TLSError) { try session.send(bytes, timeout: short) } catch { errors.append(error) }
      }
      do throws(TLSError) {
        try session.close(waitsForPeer: true, timeout: nil)
      } catch {
        errors.append(error)
      }
      return (errors: errors, elapsed: ContinuousClock.now - start)
    } server: { _ in
      // The socket stays open, and is not read.
    }
    #expect(client.errors.map(\.code) == [.timedOut, .timedOut, .timedOut])
    #expect(client.errors.first?.description == "the server took nothing by TLS within 0.1 seconds")
    #expect(client.elapsed >= short && client.elapsed < late)
  }

  /// It takes longer than the limit for all of it, and never so long for a part.
  @Test func `a peer that is slow is waited for`() async throws {
    let connection = try Connection()
    let (_, count) = try await connection.sessions { session in
      try session.send([UInt8](repeating: 1, count: 16 << 20), timeout: .seconds(1))
      try session.close(waitsForPeer: false, timeout: longestWait)
    } server: { session in
      var count = 0
      while true {
        let received = try session.receive().count
        if received == 0 { return count }
        count += received
        if count % (1 << 20) < received { usleep(150_000) }
      }
    }
    #expect(count == 16 << 20)
  }

  @Test func `the end must come within the time`() async throws {
    let connection = try Connection()
    let (error, _) = try await connection.sessions { [short] session throws -> TLSError? in
      do throws(TLSError) { try session.close(waitsForPeer: true, timeout: short) } catch { return error }
      return nil
    } server: { _ in
      // It does not answer.
    }
    #expect(error?.code == .timedOut)
    #expect(error?.description == "the server did not end TLS within 0.1 seconds")
  }

  @Test func `a peer that does not answer the handshake is not waited for`() async throws {
    let pair = try await Pair.shared
    let connection = try Connection()
    let start = ContinuousClock.now
    let error = try await failure {
      try await connection.session(.client, pair.client, handshakeTimeout: short) { _ in }
    }
    let elapsed = ContinuousClock.now - start
    #expect(error?.code == .timedOut)
    #expect(error?.description == "the server did not agree on TLS within 0.1 seconds")
    #expect(elapsed >= short && elapsed < late)
  }

  @Test func `the whole handshake must be over within the time`() async throws {
    let pair = try await Pair.shared
    let connection = try Connection()
    async let client: Void = connection.raw(.client) { end in
      for byte: UInt8 in [22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3] + [UInt8](repeating: 0, count: 200) {
        guard unsafe send(end, [byte], 1, Int32(MSG_NOSIGNAL)) == 1 else { return }
        usleep(10_000)
      }
    }
    let error = try await failure {
      try await connection.session(.server, pair.server, handshakeTimeout: short) { _ in }
    }
    shutdown(connection.server, Int32(SHUT_RDWR))
    try await client
    #expect(error?.code == .timedOut)
  }

  @Test func `signals interrupt nothing`() async throws {
    var action = sigaction()
    // A handler, for signals that are ignored interrupt no call; without SA_RESTART.
    unsafe action.__sigaction_handler.sa_handler = { _ in }
    unsafe sigaction(SIGUSR2, &action, nil)
    let connection = try Connection()
    let (_, heard) = try await connection.sessions { session in
      let thread = try #require(pthread_t(try session.receiveText(), radix: 10))
      for _ in 0..<20 {
        pthread_kill(thread, SIGUSR2)
        usleep(5000)
      }
      try session.send("heard")
    } server: { session throws -> [UInt8] in
      // Threads of the pool have signals blocked, and so has one that they start.
      var signals = sigset_t()
      unsafe sigemptyset(&signals)
      unsafe sigaddset(&signals, SIGUSR2)
      unsafe pthread_sigmask(SIG_UNBLOCK, &signals, nil)
      // The thread is there for as long as it is sent signals, whatever comes of them.
      defer {
        unsafe pthread_sigmask(SIG_BLOCK, &signals, nil)
        usleep(500_000)
      }
      try session.send("\(pthread_self())")
      return try session.receive()
    }
    #expect(heard == Array("heard".utf8))
  }
}
