internal import CSluiceTLS

extension TLSSession {
  /// Whether there are bytes to receive that the socket does not tell of (poll(2)).
  public var hasBufferedBytes: Bool { unsafe sluice_tls_pending(handle) > 0 }

  /// Receives what there is, of one record at most (16 KiB), and waits until there is something.
  ///
  /// - Parameters:
  ///   - bytes: where it goes; not empty.
  ///   - timeout: how long it may take; nil for ever.
  /// - Returns: how many bytes; 0 at the end. `endedCleanly` then tells whether it is the end that the peer meant.
  /// - Throws: `TLSError`. After `timedOut` it can be tried again.
  public mutating func receive(
    into bytes: UnsafeMutableRawBufferPointer, timeout: Duration?
  ) throws(TLSError) -> Int {
    unsafe precondition(!bytes.isEmpty, "no bytes are what the end of the stream looks like")
    if let receivingFailure { throw receivingFailure }
    if hasEnded { return 0 }
    let result = unsafe sluice_tls_receive(handle, bytes.baseAddress, bytes.count, timeout.inNanoseconds)
    switch result {
    case 1...: return result
    case 0:
      hasEnded = true
      endedCleanly = true
      return 0
    case Int(SLUICE_TLS_CUT_OFF.rawValue):
      hasEnded = true
      return 0
    default:
      let error = unsafe peer.failure(of: handle, .receiving, returned: result, timeout: timeout)
      if error.code != .timedOut { receivingFailure = error }
      throw error
    }
  }

  /// Sends all of the bytes, and waits until the kernel has them.
  ///
  /// No record (16 KiB at most) has bytes of two calls in it: what CRIU has to receive in one piece, such as a command's
  /// header, is sent by one call.
  ///
  /// - Parameter timeout: how long the peer may take nothing at all; nil for ever.
  /// - Throws: `TLSError`. Nothing can be sent after it.
  public mutating func send(_ bytes: UnsafeRawBufferPointer, timeout: Duration?) throws(TLSError) {
    if let sendingFailure { throw sendingFailure }
    guard unsafe !bytes.isEmpty else { return }
    let result = unsafe sluice_tls_send(handle, bytes.baseAddress, bytes.count, timeout.inNanoseconds)
    guard result < 0 else { return }
    let error = unsafe peer.failure(of: handle, .sending, returned: result, timeout: timeout)
    sendingFailure = error
    throw error
  }

  /// Tells the peer that nothing more will be sent (close_notify), which nobody on the way can do in our place.
  ///
  /// - Parameters:
  ///   - waitsForPeer: whether to wait until the peer has told the same, or has closed the connection: `endedCleanly` says
  ///     which. What it sends before is dropped.
  ///   - timeout: how long it may take; nil for ever.
  /// - Throws: `TLSError`, also the one that an earlier call to send has thrown.
  public mutating func close(waitsForPeer: Bool, timeout: Duration?) throws(TLSError) {
    if let sendingFailure { throw sendingFailure }
    let waits = waitsForPeer && !hasEnded && receivingFailure == nil
    let result = unsafe sluice_tls_end(handle, waits, timeout.inNanoseconds)
    sendingFailure = TLSError(.failed, "the TLS session with \(peer) was closed on this side")
    switch result {
    case 0...:
      if waits { (hasEnded, endedCleanly) = (true, true) }
    case SLUICE_TLS_CUT_OFF.rawValue:
      hasEnded = true
    default:
      throw unsafe peer.failure(of: handle, .closing, returned: result, timeout: timeout)
    }
  }
}
