import Glibc
import SluiceTLS
import SluiceTestSupport

/// Sessions with arrays, which tests like better than pointers.
extension TLSSession {
  mutating func send(_ bytes: [UInt8], timeout: Duration? = longestWait) throws(TLSError) {
    var result: Result<Void, TLSError> = .success(())
    unsafe bytes.withUnsafeBytes { bytes in
      do throws(TLSError) {
        unsafe try send(bytes, timeout: timeout)
      } catch {
        result = .failure(error)
      }
    }
    try result.get()
  }

  mutating func send(_ text: String) throws(TLSError) {
    try send(Array(text.utf8))
  }

  /// What comes by one call; empty at the end.
  mutating func receive(atMost count: Int = 1 << 20, timeout: Duration? = longestWait) throws(TLSError)
    -> [UInt8]
  {
    var bytes = [UInt8](repeating: 0, count: count)
    var result: Result<Int, TLSError> = .success(0)
    unsafe bytes.withUnsafeMutableBytes { bytes in
      do throws(TLSError) {
        result = .success(unsafe try receive(into: bytes, timeout: timeout))
      } catch {
        result = .failure(error)
      }
    }
    return Array(bytes[..<(try result.get())])
  }

  /// Everything until the end.
  mutating func receiveAll() throws(TLSError) -> [UInt8] {
    var all: [UInt8] = []
    while true {
      let bytes = try receive()
      if bytes.isEmpty { return all }
      all += bytes
    }
  }

  mutating func receiveText() throws(TLSError) -> String { String(decoding: try receive(), as: UTF8.self) }
}

/// What `body` fails with.
func failure(_ body: () async throws -> Void) async throws -> TLSError? {
  do {
    try await body()
    return nil
  } catch let error as TLSError {
    return error
  }
}

/// Sends bytes as they are.
func sendRaw(_ bytes: [UInt8], to descriptor: Int32) throws {
  guard unsafe send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL)) == bytes.count else {
    throw TestFailure("sending: \(errno)")
  }
}

/// Receives so many bytes as they are; fewer at the end.
func receiveRaw(_ count: Int, from descriptor: Int32) throws -> [UInt8] {
  var bytes = [UInt8](repeating: 0, count: count)
  let done = unsafe recv(descriptor, &bytes, count, Int32(MSG_WAITALL))
  guard done >= 0 else { throw TestFailure("receiving: \(errno)") }
  return Array(bytes[..<done])
}
