internal import CSluiceLinux
internal import SluicePipeline
internal import SluiceSystem
internal import SluiceWire

/// Sends pages to a page server, CRIU's or Sluice's.
///
/// The server keeps nothing before `commit`, which waits for its word that everything has arrived.
actor PageServerSink: PageSink {
  private let connection: Connection
  private let server: PageServerClient
  private let keepsConnection: Bool
  private let pageSize: UInt64
  private var current: PageServerObject?
  /// Whether the server has earlier images of what is sent at present.
  private var hasParent = false
  /// Where the pagemaps, or everything, go as well. What both do, they do on one thread.
  private let copy: ImagesDirectorySink

  nonisolated var limits: SinkLimits { copy.limits }
  nonisolated var executor: (any SinkExecutor)? { copy.executor }
  nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe copy.unownedExecutor }

  /// - Parameters:
  ///   - session: with a server whose layout is known.
  ///   - copy: where the pagemaps, or everything, go as well.
  init(_ session: SendingSession, beside copy: ImagesDirectorySink) {
    connection = session.connection
    server = PageServerClient(layout: session.layout)
    keepsConnection = session.keepsConnection
    pageSize = UInt64(sluice_page_size())
    self.copy = copy
  }

  func begin(_ owner: PageOwner, expectedBytes: UInt64) async throws(SluiceError) {
    let object = try Self.object(of: owner)
    current = object
    try send(server.open(object))
    hasParent = try receive(PageServerClient.openAnswerBytes, "that \(object) can come") != [0]
    try await copy.begin(owner, expectedBytes: 0)
  }

  static func object(of owner: PageOwner) throws(SluiceError) -> PageServerObject {
    switch owner {
    case .process(let identity): return .process(pid: UInt32(identity.namespacePid))
    case .image(let pagemap):
      throw SluiceError(
        .invalidArgument, "\(pagemap) belongs to images, and images are not sent to page servers")
    }
  }

  func write(_ chunk: consuming PageChunk) async throws(SluiceError) {
    try send(chunk)
    try await copy.write(chunk)
  }

  /// Sends the runs of a chunk, those of the parent between them, in address order.
  private func send(_ chunk: borrowing PageChunk) throws(SluiceError) {
    guard let object = current else { preconditionFailure("chunks are of a process that has begun") }
    let parents = chunk.parentRuns
    var next = 0
    try chunk.forEachRun { (run, bytes) throws(SluiceError) in
      while next < parents.count, parents[next].address < run.address {
        try leaveToParent(parents[next], of: object)
        next += 1
      }
      // Both are one message in one packet where they fit.
      let header = server.pages(
        of: object, address: run.address, pageCount: run.byteCount / pageSize,
        flags: chunk.isLazy ? PageServerFlags.present | PageServerFlags.lazy : PageServerFlags.present)
      try on { () throws(SocketError) in try connection.send(header, bytes) }
    }
    for run in parents[next...] { try leaveToParent(run, of: object) }
  }

  private func leaveToParent(_ run: PageRun, of object: PageServerObject) throws(SluiceError) {
    guard hasParent else {
      throw SluiceError(
        .io,
        "the server \(connection.peer) has no earlier images of \(object), which this round builds on: start the server with --prev-images-dir, or make a round that builds on none"
      )
    }
    var (address, left) = (run.address, run.byteCount / pageSize)
    while left > 0 {
      let count = min(left, server.layout.mostPages)
      try send(
        server.pages(of: object, address: address, pageCount: count, flags: PageServerFlags.parent))
      left -= count
      address += count * pageSize
    }
  }

  func end(_ owner: PageOwner, failure: SluiceError?) async throws(SluiceError) {
    // What was sent cannot be taken back. Of a process that has gone it harms nobody, since nothing builds on it; of one
    // that lives it would be taken for whole.
    if let failure, failure.code != .targetGone {
      throw SluiceError(
        failure.code,
        "\(owner) cannot be copied, and \(connection.peer) already has a part of it: \(failure)")
    }
    current = nil
    try await copy.end(owner, failure: failure)
  }

  func commit(_ manifest: RunManifest) async throws(SluiceError) {
    try send(server.close(keepsConnection: keepsConnection))
    let answer = try receive(
      PageServerClient.closeAnswerBytes, "that everything has arrived", within: Self.longestSync)
    guard PageServerClient.number(answer) == 0 else {
      throw SluiceError(
        .io,
        "the server \(connection.peer) could not keep the pages (status \(PageServerClient.number(answer) ?? -1)): its own log has the reason"
      )
    }
    if !keepsConnection { try on { () throws(SocketError) in try connection.finish() } }
    // After this the server has a session whose client has no images of it; it is harmless, and nothing builds on it.
    try await copy.commit(manifest)
  }

  func abort() async {
    if !keepsConnection { connection.interrupt() }
    await copy.abort()
  }

  private func send(_ bytes: [UInt8]) throws(SluiceError) {
    try on { () throws(SocketError) in try connection.send(bytes) }
  }

  private func receive(
    _ count: Int, _ waitedFor: String, within limit: Duration? = nil
  ) throws(SluiceError) -> [UInt8] {
    let answer = try on { () throws(SocketError) in try connection.receive(count: count, patience: limit) }
    guard let answer else {
      guard !connection.wasInterrupted else { throw .cancelled }
      throw SluiceError(
        .io,
        "the server \(connection.peer) ended the connection before it said \(waitedFor): its own log has the reason"
      )
    }
    return answer
  }

  /// The server answers when the pages are on its disk: what is in its page cache may take it long. That its machine has
  /// gone is noticed all the same, by the connection's keepalive.
  private static let longestSync = Duration.seconds(600)

  private func on<Result>(_ body: () throws(SocketError) -> Result) throws(SluiceError) -> Result {
    do throws(SocketError) { return try body() } catch {
      // Whoever has ended the connection at our end has a reason for it: the server is not to blame.
      guard !connection.wasInterrupted else { throw .cancelled }
      throw SluiceError(
        .io, "the page server does not take the pages: \(error)", errno: error.errno)
    }
  }
}
