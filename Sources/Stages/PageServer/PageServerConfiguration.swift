public import Logging
internal import SluiceSystem

extension PageServer {
  /// Where a page server listens, and what becomes of the pages that it is sent.
  public struct Configuration: Sendable {
    /// Where the pages go. With `sessions`, each session has a directory of its own below.
    public var directory: String
    /// The address to listen at, in numbers; empty for all of IPv4.
    public var address = ""
    /// The port to listen at; 0 for any that is free.
    public var port: UInt16 = 0
    /// With which files connections are encrypted; nil where they are not.
    ///
    /// Where the server has an address of its own and serves one session, the client's certificate must be for that
    /// address, as CRIU has it.
    public var tls: PageServerTLS?
    /// Earlier images of the same processes, which a single session's pages build on.
    public var parentDirectory: String?
    /// Whether the links of the chain are followed whoever they belong to, and whoever may write where they lead.
    public var trustsParents = false
    /// Whether the space of pages in older images is given back that a session has anew.
    public var dedups = false
    /// The memory for everything that could grow, in all sessions together, in bytes.
    public var memoryBudget = 64 << 20
    /// The way that pages take to the disk.
    public var io = PreDump.Configuration.IO.automatic
    /// Whether pages are on the disk before their client is told that they have arrived.
    public var syncs = true
    /// How long a client may be silent, or take nothing, before its session ends.
    public var idleTimeLimit = Duration.seconds(60)
    /// Whether a server for one session ends with the first client, as CRIU's does, also where that begins no session.
    public var endsWithFirstClient = false
    /// The bytes of pages that a session may have; nil for any number.
    public var mostBytes: UInt64?
    /// Is told of sessions, of how long their writing takes and how much memory they have; nil for nobody.
    public var observer: (any SluiceObserver)?
    /// Receives log messages.
    public var logger = Logger(label: "sluice", factory: { _ in SwiftLogNoOpLogHandler() })

    /// A server that puts pages into a directory; all other settings get their defaults.
    public init(directory: String) { self.directory = directory }

    /// Makes sure that it can be meant, before anybody connects.
    ///
    /// - Throws: `SluiceError` with `invalidArgument` or `cannotCreate`.
    func check() throws(SluiceError) {
      guard !directory.isEmpty else {
        throw SluiceError(.cannotCreate, "making the images directory: its name (directory) is empty")
      }
      guard parentDirectory?.isEmpty != true else {
        throw SluiceError(
          .invalidArgument, "the directory of the earlier images (parentDirectory) has an empty name")
      }
      guard idleTimeLimit >= .milliseconds(1), idleTimeLimit <= PreDump.Configuration.longestTime else {
        throw SluiceError(
          .invalidArgument,
          "the time that clients may be silent (idleTimeLimit) must be above 0, and 30 years at most")
      }
    }
  }

  /// How many sessions there may be, and how their directories are called.
  public struct Sessions: Hashable, Sendable {
    /// How many sessions there are at once, at most, 1 at least; further clients wait until one has ended.
    public var most = 64
    /// The names of the directories, below that of the server: `{client}` stands for the client's name or its address,
    /// `{number}` for the first number that is free, `{time}` for the seconds since 1970.
    public var name = "{client}-{number}"

    /// As most want it.
    public init() {}
  }
}
