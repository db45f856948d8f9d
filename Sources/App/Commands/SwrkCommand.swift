import ArgumentParser

/// `sluice swrk`
struct SwrkCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "swrk",
    abstract: "Answer a container engine in CRIU's place.",
    discussion: """
      Container engines such as runc start 'criu swrk' with a socket, and send requests over it. Sluice itself makes \
      pre-dumps, also to a page server, and runs page servers. Everything else, such as dumps and restores, is passed to \
      the real CRIU. Sluice does the same with every command when it is called by the name 'criu': so an engine uses \
      Sluice if a link of that name to Sluice is in a directory that comes first in the engine's PATH.

      The real CRIU is the one that the environment variable SLUICE_CRIU names, or else the first one in PATH that is not \
      Sluice.
      """)

  @Argument(help: "The descriptor of the socket (AF_UNIX, SOCK_SEQPACKET), inherited from the engine.")
  var descriptor: Int32

  @Option(
    help: ArgumentHelp(
      "The real CRIU.", discussion: "The default is SLUICE_CRIU, or else the first one in PATH.",
      valueName: "file"))
  var criu: String?

  func run() async throws {
    let socket: EngineSocket
    do throws(EngineSocket.Broken) { socket = try EngineSocket(descriptor: descriptor) } catch {
      throw ValidationError(error.message ?? "descriptor \(descriptor) is not a socket")
    }
    var session = EngineSession(socket: socket, criu: criu)
    let status = await session.run()
    if status != 0 { throw ExitCode(status) }
  }
}
