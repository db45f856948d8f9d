internal import CSluiceLinux
internal import Logging
internal import SluiceImages
internal import SluicePipeline
internal import SluiceSystem
internal import SluiceTLS
internal import SluiceWire

/// Takes pages over the network, by the protocol of CRIU's page server, and makes images of them.
///
/// ```swift
/// let server = try PageServer(.init(directory: "/var/tmp/images"))
/// print(try await server.runOnce().pages)
/// ```
///
/// It listens from its making on. Any client of the protocol can connect, whichever of the two layouts of headers it speaks.
public final class PageServer: Sendable {
  /// Where it listens, and what becomes of the pages.
  public let configuration: Configuration
  /// The address that it listens at, in numbers; empty where it has a connection or a local socket instead.
  public let address: String
  /// The port that it listens at; 0 where it has a connection or a local socket instead.
  public let port: UInt16
  private let listener: Listener?
  private let connected: Locked<Int32?>
  /// Whether the socket is ours alone, and nobody else listens with it.
  private let ownsListener: Bool
  private let runtime: SluiceRuntime
  private let isOwnRuntime: Bool
  private let credentials: TLSCredentials?
  private let sessionCount = Locked(0)

  /// Listens.
  ///
  /// - Parameters:
  ///   - configuration: where it listens, and what becomes of the pages.
  ///   - descriptor: a socket that listens already, which the server has from now on; nil for one at the address of the
  ///     configuration.
  ///   - runtime: what it works with, and shares a memory budget in; nil for a runtime of its own, with the
  ///     configuration's budget.
  /// - Throws: `SluiceError`: `invalidArgument` or `cannotCreate` for a configuration that cannot be meant, `notFound` for
  ///   certificates that cannot be read, or what the kernel says of the socket.
  public convenience init(
    _ configuration: Configuration, listeningOn descriptor: Int32? = nil, in runtime: SluiceRuntime? = nil
  ) throws(SluiceError) {
    try configuration.check()
    let credentials = try configuration.tls?.credentials()
    let listener: Listener
    do throws(SocketError) {
      listener =
        if let descriptor {
          try Listener(owning: Descriptor(owning: descriptor))
        } else {
          try Listener(
            at: SocketAddress(host: configuration.address, port: configuration.port), backlog: Self.backlog)
        }
    } catch {
      throw SluiceError(error)
    }
    let (address, port) = (listener.host, listener.port)
    self.init(
      configuration, listener, isOwn: descriptor == nil, address: address, port: port, connected: nil,
      credentials, in: runtime)
  }

  /// Whether only clients on this machine can reach a server at an address.
  package static func isLoopback(_ address: String) -> Bool {
    SocketAddress(host: address, port: 0).isLoopback
  }

  /// Makes a socket that listens, for a server in another process.
  ///
  /// - Parameters:
  ///   - address: in numbers; empty for all of IPv4.
  ///   - port: 0 for any that is free.
  /// - Returns: a descriptor, which the caller closes, and the port.
  /// - Throws: `SluiceError` with what the kernel says of the address.
  public static func listen(
    at address: String, port: UInt16
  ) throws(SluiceError) -> (descriptor: Int32, port: UInt16) {
    do throws(SocketError) {
      let listener = try Listener(at: SocketAddress(host: address, port: port), backlog: backlog)
      let port = listener.port
      return (listener.take().take(), port)
    } catch {
      throw SluiceError(error)
    }
  }

  /// Takes a connection that there is already, and serves one session on it.
  ///
  /// - Parameters:
  ///   - configuration: what becomes of the pages; its address means nothing here.
  ///   - descriptor: a connected socket, which the server has from now on. A further session on it is an error.
  ///   - runtime: as of the other servers.
  /// - Throws: `SluiceError`: `invalidArgument` or `cannotCreate` for a configuration that cannot be meant, `notFound` for
  ///   certificates that cannot be read.
  public convenience init(
    _ configuration: Configuration, connection descriptor: Int32, in runtime: SluiceRuntime? = nil
  ) throws(SluiceError) {
    try configuration.check()
    self.init(
      configuration, nil, isOwn: false, address: "", port: 0, connected: descriptor,
      try configuration.tls?.credentials(), in: runtime)
  }

  private init(
    _ configuration: Configuration, _ listener: consuming sending Listener?, isOwn: Bool, address: String,
    port: UInt16, connected: Int32?, _ credentials: TLSCredentials?, in runtime: SluiceRuntime?
  ) {
    self.credentials = credentials
    self.configuration = configuration
    self.listener = listener
    ownsListener = isOwn
    self.address = address
    self.port = port
    self.connected = Locked(connected)
    self.runtime = runtime ?? SluiceRuntime(memoryBudget: configuration.memoryBudget)
    isOwnRuntime = runtime == nil
  }

  deinit {
    if let descriptor = connected.withLock({ $0 }) { _ = Descriptor(owning: descriptor) }
  }

  /// Clients that may wait until they are served.
  private static let backlog: Int32 = 128

  /// The number of the socket that it listens with, which stays open as long as the server lives; nil where it has a
  /// connection instead.
  public var listeningDescriptor: Int32? {
    switch listener {
    case .some(let listener): listener.number
    case .none: nil
    }
  }

  // MARK: One session

  /// Makes sure that a session can be kept: that the directory can be made and holds no pages, and that the earlier images
  /// are there. Nothing is left of it.
  ///
  /// - Throws: `SluiceError`: `cannotCreate`, or `notFound`, `malformedImages` or `io` of the earlier images.
  public func checkDirectory() async throws(SluiceError) {
    let configuration = configuration
    try await runtime.coordinate { () async throws(SluiceError) in
      let parent = try configuration.openParent()
      try onImages { () throws(ImagesError) in
        _ = try UnfinishedImages.create(forSessionAt: configuration.directory, parent: parent)
      }
    }
  }

  /// Serves one session, the first in which pages are sent or asked for. Clients that go again before that, such as a port
  /// scan, or send anything else, are passed over. Cancelling the task ends it, and nothing is kept.
  ///
  /// - Throws: `SluiceError`: `io` where the client fails, `malformedImages` where it breaks the protocol or leaves pages to
  ///   earlier images that lack them; `cancelled`.
  public func runOnce() async throws(SluiceError) -> SessionReport {
    while true {
      if let report = try await runOneClient() { return report }
    }
  }

  /// - Returns: nil where the client did not begin, and others may come.
  private func runOneClient() async throws(SluiceError) -> SessionReport? {
    let connection = try await connect()
    let hasBegun = Locked(false)
    var report = SessionReport(number: nextNumber(), client: connection.peer)
    let parents = Locked<Result<SessionParent, SluiceError>?>(nil)
    let configuration = configuration
    let name = configuration.address
    let result = await serve(
      connection, &report, peerName: name.isEmpty || name == "0.0.0.0" || name == "::" ? nil : name
    ) { [self] (_) throws(SluiceError) in
      // Nobody else is to wait here for a session that will not come.
      hasBegun.withLock { $0 = true }
      if ownsListener, let number = listeningDescriptor { StreamSocket.shutDown(number) }
      let parent = parents.withLock { opened in
        if let opened { return opened }
        let made = Result { () throws(SluiceError) in SessionParent(try configuration.openParent()) }
        opened = made
        return made
      }
      return SessionRun.Place(directory: configuration.directory, parent: try parent.get())
    }
    if case .failure(let error) = result, error.code != .cancelled, listeningDescriptor != nil,
      !configuration.endsWithFirstClient, !hasBegun.withLock({ $0 })
    {
      configuration.logger.warning("ignored a client: \(error)")
      return nil
    }
    if isOwnRuntime { await runtime.shutdown() }
    try result.get()
    return report
  }

  // MARK: Many sessions

  /// Serves sessions, many at once, each into a directory of its own, until the task is cancelled. What the sessions that
  /// are under way then have received is not kept.
  ///
  /// A session that asks for earlier images builds on the last one of the same client that has them.
  ///
  /// - Parameters:
  ///   - sessions: how many at once, and how their directories are called.
  ///   - ended: is told of each session that has come to its end, or failed, from any thread.
  /// - Throws: `SluiceError` where no further client can be taken; `cancelled`.
  public func run(
    _ sessions: Sessions, ended: @escaping @Sendable (SessionReport) -> Void
  ) async throws(SluiceError) {
    guard sessions.most >= 1 else {
      throw SluiceError(.invalidArgument, "the number of sessions (most) must be at least 1")
    }
    let directories = try SessionDirectories(configuration, name: sessions.name)
    let failure = await withTaskGroup(of: Void.self) { group -> SluiceError in
      var running = 0
      while true {
        if running >= sessions.most {
          await group.next()
          running -= 1
        }
        let connection: Connection?
        do throws(SluiceError) {
          connection = try await untilCancelled { (server) throws(SluiceError) in try server.accept() }
        } catch {
          // A client that has gone already, and descriptors that are short for the moment, are no reason to stop.
          guard let errno = error.errno, errno.name != "EINVAL", error.code != .cancelled else {
            group.cancelAll()
            return error
          }
          configuration.logger.warning("a client could not be accepted: \(error)")
          try? await Task.sleep(for: Self.pauseAfterFailure)
          continue
        }
        guard let connection else { continue }
        running += 1
        group.addTask {
          var report = SessionReport(number: self.nextNumber(), client: connection.peer)
          let chosen = Locked<SessionRun.Place?>(nil)
          var client: String { connection.peerCommonName ?? connection.clientAddress }
          _ = await self.serve(connection, &report, peerName: nil) { (_) throws(SluiceError) in
            if let place = chosen.withLock({ $0 }) { return place }
            let place = try directories.place(of: client)
            chosen.withLock { $0 = place }
            return place
          } published: { place in
            directories.published(place.directory, of: client)
          }
          ended(report)
        }
      }
    }
    if isOwnRuntime { await runtime.shutdown() }
    throw failure
  }

  /// How long no further client is taken where one could not be.
  private static let pauseAfterFailure = Duration.milliseconds(100)

  private func nextNumber() -> Int {
    sessionCount.withLock {
      $0 += 1
      return $0
    }
  }

  /// Waits for a client, on a thread of its own.
  private func connect() async throws(SluiceError) -> Connection {
    if let descriptor = connected.withLock({ $0.take() }) {
      return try connection(Descriptor(owning: descriptor))
    }
    return try await untilCancelled { (server) throws(SluiceError) in
      while true {
        if let connection = try server.accept() { return connection }
      }
    }
  }

  private func connection(_ descriptor: consuming sending Descriptor) throws(SluiceError) -> Connection {
    let socket: StreamSocket
    do throws(SocketError) {
      socket = try StreamSocket(owning: descriptor, patience: configuration.idleTimeLimit)
    } catch {
      throw SluiceError(error)
    }
    return Connection(socket)
  }

  private static let stopped = SluiceError(.cancelled, "the page server was stopped before a client came")

  private func endWaiting() {
    switch listener {
    case .some(let listener): listener.endWaiting()
    case .none: break
    }
  }

  /// Waits for the next client. A cancelled server has no further one.
  ///
  /// - Returns: nil where the client has gone again.
  private func accept() throws(SluiceError) -> Connection? {
    let event: Listener.Event
    do throws(SocketError) {
      switch listener {
      case .some(let listener): event = try listener.next()
      case .none:
        throw SocketError(.ended, "the server has one connection and listens nowhere, and that was served")
      }
    } catch {
      guard !Task.isCancelled else { throw Self.stopped }
      throw SluiceError(error)
    }
    switch consume event {
    case .connection(let descriptor):
      do throws(SluiceError) { return try connection(descriptor) } catch {
        // Clients that have gone since are no reason to have the next one wait, and may be many.
        let isGone = ["ENOTCONN", "ECONNRESET", "EINVAL"].contains(error.errno?.name)
        configuration.logger.log(level: isGone ? .info : .warning, "a client could not be accepted: \(error)")
        return nil
      }
    case .ended: throw Self.stopped
    case .none: return nil
    }
  }

  /// Runs what waits for clients on a thread of its own, and ends it when the task is cancelled.
  private func untilCancelled<Success: Sendable>(
    _ body: @escaping @Sendable (PageServer) throws(SluiceError) -> Success
  ) async throws(SluiceError) -> Success {
    let runtime = runtime
    let result = await withTaskCancellationHandler {
      await Result { () async throws(SluiceError) in
        try await runtime.coordinate { () async throws(SluiceError) in
          guard !Task.isCancelled else { throw Self.stopped }
          return try body(self)
        }
      }
    } onCancel: {
      endWaiting()
    }
    return try result.get()
  }

  /// Serves a session on a connection, on a thread of its own, and says in the report what came of it.
  private func serve(
    _ connection: Connection, _ report: inout SessionReport, peerName: String?,
    place: @escaping @Sendable (PageServerObject) throws(SluiceError) -> SessionRun.Place,
    published: @escaping @Sendable (SessionRun.Place) -> Void = { _ in }
  ) async -> Result<Void, SluiceError> {
    let began = ContinuousClock.now
    let session = ReceivingSession(connection, mostBytes: configuration.mostBytes)
    let observation = Observation(.session, of: nil, by: configuration.observer)
    observation?.begin()
    let run = SessionRun(
      configuration: configuration, session: session, runtime: runtime, observation: observation,
      place: place,
      published: published)
    let (runtime, credentials, started) = (runtime, credentials, report)
    let told = Locked(report)
    let result = await withTaskCancellationHandler {
      await Result { () async throws(SluiceError) in
        try await runtime.coordinate { () async throws(SluiceError) in
          var report = started
          defer { told.withLock { [report] in $0 = report } }
          if let credentials {
            try connection.secure(as: .server, by: credentials, peerName: peerName)
            report.clientName = connection.peerCommonName
          }
          try await run.run(&report)
        }
      }
    } onCancel: {
      connection.interrupt()
    }
    report = told.withLock { $0 }
    report.duration = ContinuousClock.now - began
    switch result {
    case .success:
      observation?.end()
      if configuration.dedups, report.parentDirectory != nil { await dedup(report) }
      return .success(())
    case .failure(var error):
      if Task.isCancelled {
        error = SluiceError(.cancelled, "the session was cancelled; nothing was kept")
      }
      report.reason = error.message
      report.failure = error.code
      observation?.end(error)
      return .failure(error)
    }
  }

  private func dedup(_ report: SessionReport) async {
    guard let directory = report.directory else { return }
    var dedup = DedupImages(directory: directory)
    dedup.trustsParents = configuration.trustsParents
    do throws(SluiceError) { _ = try await dedup.run() } catch {
      configuration.logger.warning(
        "the pages in \(directory) are complete, but the space of older images was not freed (dedups; --auto-dedup): \(error)"
      )
    }
  }
}

extension PageServer.Configuration {
  /// The images that a single session's pages build on; nil where none were named.
  func openParent() throws(SluiceError) -> ParentImages? {
    guard let parentDirectory else { return nil }
    return try onImages { () throws(ImagesError) in
      try ParentImages(path: parentDirectory, trust: Trust(everybody: trustsParents))
    }
  }
}
