internal import CSluiceLinux
internal import Logging
internal import SluicePipeline
internal import SluiceSystem
internal import SluiceTLS
internal import SluiceWire

/// The client's end of a session with a page server, before pages are sent: it is connected, its layout of headers is known,
/// and so is whether the server has earlier images.
struct SendingSession: Sendable {
  let connection: Connection
  let layout: PageServerLayout
  let keepsConnection: Bool
  /// The first of the objects with a base that the server has no earlier images of; nil where it has those of all.
  let missing: PageServerObject?

  /// How long a server of the older layout may take for its answer: then it is taken for one of the newer. It is far more than
  /// such a server takes (a millisecond), and some round trips where these are long; on a machine that is busy, a server that
  /// was only just started needs a good part of it.
  private static let pauseBeforeSecondPart = Duration.seconds(1)
  private static let roundTripsBeforeSecondPart = 8

  /// Connects, and asks what is to be known before anything is done to a process.
  ///
  /// - Parameters:
  ///   - first: one that pages will be of.
  ///   - based: those that are to build on earlier images.
  /// - Throws: `SluiceError`: `notFound` for a server that no address is known of, `io`.
  static func open(
    _ target: PageServerTarget, first: PageServerObject, based: [PageServerObject], logger: Logger
  ) throws(SluiceError) -> SendingSession {
    let socket: StreamSocket
    var keepsConnection = false
    do throws(SocketError) {
      switch target.way {
      case .address(let host, let port):
        socket = try StreamSocket.connect(
          to: SocketAddress(host: host, port: port), within: target.connectTimeLimit,
          patience: target.idleTimeLimit)
      case .connection(let descriptor):
        let copy = sluice_duplicate(descriptor)
        guard copy >= 0 else {
          throw SocketError(.failed, "using descriptor \(descriptor)", errno: SystemErrno(returned: copy))
        }
        socket = try StreamSocket(owning: Descriptor(owning: copy), patience: target.idleTimeLimit)
        keepsConnection = true
      }
    } catch {
      throw SluiceError(error)
    }
    let connection = try connect(socket, target, logger)
    return try SendingSession(
      connection, to: target, keepsConnection: keepsConnection, first: first, based: based, logger)
  }

  private static func connect(
    _ socket: consuming sending StreamSocket, _ target: PageServerTarget, _ logger: Logger
  ) throws(SluiceError) -> Connection {
    let connection = Connection(socket)
    guard let tls = target.tls else {
      if !connection.isLoopback {
        logger.warning(
          "memory goes to the page server \(connection.peer) unencrypted, and others on the network can read and change it: use TLS (tls; --tls)"
        )
      }
      return connection
    }
    var name: String?
    if case .address(let host, _) = target.way { name = host }
    try connection.secure(as: .client, by: try tls.credentials(), peerName: name)
    return connection
  }

  private init(
    _ connection: Connection, to target: PageServerTarget, keepsConnection: Bool, first: PageServerObject,
    based: [PageServerObject], _ logger: Logger
  ) throws(SluiceError) {
    self.connection = connection
    self.keepsConnection = keepsConnection
    do throws(SocketError) {
      var (layout, isFirstThere): (PageServerLayout, Bool)
      switch target.layout == .automatic ? target.known.withLock({ $0 }) ?? .automatic : target.layout {
      case .bytes24: (layout, isFirstThere) = (.bytes24, try Self.ask(first, .bytes24, connection))
      case .bytes32: (layout, isFirstThere) = (.bytes32, try Self.ask(first, .bytes32, connection))
      case .automatic:
        (layout, isFirstThere) = try Self.probe(connection, first)
        logger.info("the page server \(connection.peer) expects headers of \(layout.headerBytes) bytes")
        target.known.withLock { [layout] in $0 = layout == .bytes24 ? .bytes24 : .bytes32 }
      }
      self.layout = layout
      var missing = !isFirstThere && based.contains(first) ? first : nil
      for object in based where missing == nil && object != first {
        guard try !Self.ask(object, layout, connection) else { continue }
        missing = object
        break
      }
      self.missing = missing
    } catch {
      throw SluiceError(
        .io, "the page server gives a wrong answer: \(error)", errno: error.errno)
    }
  }

  private static func probe(
    _ connection: Connection, _ object: PageServerObject
  ) throws(SocketError) -> (PageServerLayout, Bool) {
    let probe = PageServerLayoutProbe(object: object)
    try connection.send(probe.firstPart)
    let pause = max(pauseBeforeSecondPart, connection.roundTrip * roundTripsBeforeSecondPart)
    if let answer = try connection.receive(count: PageServerClient.parentAnswerBytes, within: pause) {
      return (.bytes24, PageServerClient.number(answer) == 1)
    }
    try connection.send(probe.secondPart)
    let isThere = try answer(connection)
    // The answer may have been one to the first part, only late. Then the server does not take this.
    do throws(SocketError) { _ = try ask(object, .bytes32, connection) } catch {
      throw SocketError(
        error.code,
        "\(error); if the server was slow to answer, give its layout (layout; --page-server-layout 24), or start it earlier"
      )
    }
    return (.bytes32, isThere)
  }

  private static func ask(
    _ object: PageServerObject, _ layout: PageServerLayout, _ connection: Connection
  ) throws(SocketError) -> Bool {
    try connection.send(PageServerClient(layout: layout).hasParent(object))
    return try answer(connection)
  }

  private static func answer(_ connection: Connection) throws(SocketError) -> Bool {
    guard let answer = try connection.receive(count: PageServerClient.parentAnswerBytes) else {
      throw SocketError(.ended, "\(connection.peer) ended the connection: its own log has the reason")
    }
    switch PageServerClient.number(answer) {
    case 1: return true
    case 0: return false
    default: throw SocketError(.failed, "\(connection.peer) gives an invalid answer")
    }
  }
}
