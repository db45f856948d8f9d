import CSluiceLinux
import Foundation
import SluiceTLS
import SluiceTestSupport
import Testing

@Suite(.needsTLS) struct TransferTests {
  private func hash(_ bytes: [UInt8]) -> [UInt64] {
    let hash = unsafe bytes.withUnsafeBytes { unsafe sluice_hash_block($0.baseAddress, $0.count, 1) }
    return [hash.low, hash.high]
  }

  /// Sizes around those of records, of pages, and of nothing.
  private static func cut(_ random: inout SplitMix) -> Int {
    switch Int.random(in: 0..<5, using: &random) {
    case 0: Int.random(in: 1...64, using: &random)
    case 1: 16384 + Int.random(in: -2...2, using: &random)
    case 2: Int.random(in: 1...100_000, using: &random)
    case 3: 4096 * Int.random(in: 1...64, using: &random)
    default: Int.random(in: 1...(2 << 20), using: &random)
    }
  }

  @Test(arguments: Connection.Kind.allCases)
  func `much arrives as it was sent, however it is cut`(kind: Connection.Kind) async throws {
    let file = try #require(FileHandle(forReadingAtPath: "/dev/urandom"))
    let sent = [UInt8](try #require(try file.read(upToCount: 64 << 20)))
    let connection = try Connection(kind)
    let (_, received) = try await connection.sessions { session in
      var random = SplitMix(seed: 1)
      var done = 0
      while done < sent.count {
        let count = min(Self.cut(&random), sent.count - done)
        try session.send(Array(sent[done..<done + count]))
        done += count
      }
      try session.close(waitsForPeer: true, timeout: longestWait)
    } server: { session in
      var random = SplitMix(seed: 2)
      var received: [UInt8] = []
      while true {
        let bytes = try session.receive(atMost: Self.cut(&random))
        if bytes.isEmpty { break }
        received += bytes
      }
      #expect(session.endedCleanly == true)
      try session.close(waitsForPeer: false, timeout: longestWait)
      return received
    }
    #expect(received.count == sent.count)
    #expect(hash(received) == hash(sent))
  }

  @Test func `each call has records of its own`() async throws {
    let connection = try Connection()
    let sizes = [32, 40_000, 1, 16_384, 16_385, 32]
    // By TLS 1.3, a record has a byte for its true type, and 16 by which it is known to be unchanged.
    let overhead = 17
    let expected = [32, 16_384, 16_384, 7232, 1, 16_384, 16_384, 1, 32]
    let (_, records) = try await connection.sessions { session in
      for size in sizes { try session.send([UInt8](repeating: 7, count: size)) }
    } server: { [server = connection.server] _ in
      try expected.map { _ in
        let header = try receiveRaw(5, from: server)
        let count = Int(header[3]) << 8 | Int(header[4])
        _ = try receiveRaw(count, from: server)
        return header[0] == 23 ? count - overhead : -1
      }
    }
    #expect(records == expected)
  }

  @Test func `what is in the buffer is told`() async throws {
    let connection = try Connection()
    let (_, told) = try await connection.sessions { session in
      try session.send("12345678")
      _ = try session.receive()
    } server: { session in
      var told = [session.hasBufferedBytes]
      #expect(try session.receive(atMost: 5).count == 5)
      told.append(session.hasBufferedBytes)
      #expect(try session.receive(atMost: 5).count == 3)
      told.append(session.hasBufferedBytes)
      try session.send("enough")
      return told
    }
    #expect(told == [false, true, false])
  }

  @Test func `nothing is sent for no bytes`() async throws {
    let connection = try Connection()
    let (_, heard) = try await connection.sessions { session in
      try session.send([])
      try session.send("something")
    } server: { session in
      try session.receiveText()
    }
    #expect(heard == "something")
  }

  @Test func `what somebody on the way has changed is noticed`() async throws {
    let connection = try Connection()
    let (_, error) = try await connection.sessions { [client = connection.client] session in
      try session.send("true")
      try sendRaw([23, 3, 3, 0, 40] + [UInt8](repeating: 9, count: 40), to: client)
      // The server tells that it has noticed.
      do throws(TLSError) {
        _ = try session.receive()
        Issue.record("the server did not refuse")
      } catch {
        #expect(error.code == .refused, "\(error)")
      }
    } server: { session throws -> TLSError? in
      #expect(try session.receiveText() == "true")
      var failures: [TLSError] = []
      for _ in 0..<2 {
        do throws(TLSError) { _ = try session.receive() } catch { failures.append(error) }
      }
      #expect(failures.count == 2, "once broken, it stays so")
      return failures.first
    }
    #expect(error?.code == .failed, "\(String(describing: error))")
  }
}
