internal import SluicePipeline

/// The page server that a pre-dump sends its pages to.
public struct PageServerTarget: Sendable {
  /// How the server wants its headers.
  public enum Layout: Hashable, Sendable {
    /// It is found out, by a question to which servers answer at once or after a second part. Not over TLS.
    case automatic
    /// As up to CRIU 4.1.1: 24 bytes.
    case bytes24
    /// As from CRIU 4.2 on: 32 bytes.
    case bytes32
  }

  /// How the server is reached.
  public enum Way: Hashable, Sendable {
    /// By its name or address, and its port.
    case address(host: String, port: UInt16)
    /// A connected socket, which stays the caller's: each round is a session on it, and the server keeps it, too.
    case connection(descriptor: Int32)
  }

  /// How the server is reached.
  public var way: Way
  /// How the server wants its headers.
  public var layout = Layout.automatic
  /// With which files the connection is encrypted; nil where it is not.
  public var tls: PageServerTLS?
  /// Whether the pages are written into the images directory as well. Without that, it has pagemaps without pages: enough
  /// for rounds to build upon, not to restore from.
  public var keepsPages = false
  /// How long the server may take to be connected to.
  public var connectTimeLimit = Duration.seconds(10)
  /// How long the server may be silent when it is to answer, or take nothing. For its last answer, before which its disk may
  /// have much to do, it has ten minutes.
  public var idleTimeLimit = Duration.seconds(60)
  /// The layout that was found out, for the rounds that follow.
  let known = Locked<Layout?>(nil)

  /// A server; everything else as most want it.
  public init(_ way: Way) { self.way = way }

  /// Makes sure that it can be meant.
  ///
  /// - Throws: `SluiceError` with `invalidArgument`.
  func check() throws(SluiceError) {
    switch way {
    case .address(let host, let port):
      guard !host.isEmpty, port > 0 else {
        throw SluiceError(.invalidArgument, "the page server needs an address, and a port from 1 up")
      }
    case .connection(let descriptor):
      guard descriptor >= 0 else {
        throw SluiceError(
          .invalidArgument, "the descriptor of the page server's connection must be at least 0")
      }
    }
    guard tls == nil || layout != .automatic else {
      throw SluiceError(
        .invalidArgument,
        "over TLS Sluice cannot find out the size of headers that the page server expects: give --page-server-layout (layout): 24 up to CRIU 4.1.1, 32 from 4.2 on, either for sluice"
      )
    }
    for limit in [idleTimeLimit, connectTimeLimit] {
      guard limit >= .milliseconds(1), limit <= PreDump.Configuration.longestTime else {
        throw SluiceError(
          .invalidArgument,
          "the time limits of the page server (idleTimeLimit, connectTimeLimit) must be above 0, and 30 years at most"
        )
      }
    }
  }
}

extension PageServerTarget: CustomStringConvertible {
  /// As messages have it.
  public var description: String {
    switch way {
    case .address(let host, let port): host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
    case .connection(let descriptor): "descriptor \(descriptor)"
    }
  }
}
