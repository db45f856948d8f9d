/// What became of one session of a page server.
public struct SessionReport: Sendable, Codable {
  /// The number of the session, counted from 1.
  public let number: Int
  /// Who the client was: an address and a port, or "local".
  public let client: String
  /// The client's name, by its certificate; nil without TLS.
  public internal(set) var clientName: String?
  /// Where the pages are; nil where none were kept.
  public internal(set) var directory: String?
  /// The images that these build on; nil where they build on none.
  public internal(set) var parentDirectory: String?
  /// The length of the client's headers in bytes: 24 up to CRIU 4.1.1, 32 from 4.2 on; nil where it sent none.
  public internal(set) var headerBytes: Int?
  /// Pagemaps that were sent: of processes, and of memory that processes share.
  public internal(set) var pagemaps: UInt64 = 0
  /// Pages that were sent.
  public internal(set) var pages: UInt64 = 0
  /// Pages among them that are all zeros, and take no space.
  public internal(set) var zeroPages: UInt64 = 0
  /// Pages that were left to earlier images.
  public internal(set) var parentPages: UInt64 = 0
  /// The bytes of pages that came, also of a session that was not kept.
  public internal(set) var bytes: UInt64 = 0
  /// From the client's connection to the end of the session.
  @Microseconds public internal(set) var duration: Duration
  /// Why nothing was kept; nil where the session came to its end.
  public internal(set) var reason: String?
  /// The kind of failure; nil where there was none.
  public internal(set) var failure: SluiceError.Code?

  private enum CodingKeys: String, CodingKey {
    case number = "session"
    case client
    case clientName = "client_name"
    case directory = "images_dir"
    case parentDirectory = "parent_dir"
    case headerBytes = "header_bytes"
    case pagemaps
    case pages
    case zeroPages = "zero_pages"
    case parentPages = "parent_pages"
    case bytes
    case duration = "session_us"
    case reason
  }

  init(number: Int, client: String) {
    self.number = number
    self.client = client
    _duration = Microseconds(wrappedValue: .zero)
  }

  /// Whether everything that the client sent is where it belongs.
  public var isComplete: Bool { reason == nil }
}
