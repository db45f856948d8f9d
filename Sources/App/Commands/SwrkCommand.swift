import ArgumentParser

/// `sluice swrk`
struct SwrkCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "swrk",
    abstract: "Answer a container engine in CRIU's place.",
    discussion: """
      Engines such as runc start 'criu swrk' with a socket, and ask over it for what they want. Sluice makes pre-dumps, \
      also to a page server, and is a page server; it hands all else on to the real CRIU, such as dumps and restores. It \
      does the same with every command when it is called by the name 'criu': a link of that name in a directory of its \
      own, which is put first in the path, is all that an engine needs to use Sluice.

      The real CRIU is the first one in the path that is not Sluice, or what the environment's SLUICE_CRIU names.
      """)

  @Argument(help: "The descriptor of the socket (AF_UNIX, SOCK_SEQPACKET), inherited from the engine.")
  var descriptor: Int32

  @Option(
    help: ArgumentHelp(
      "The real CRIU.", discussion: "The default is SLUICE_CRIU, or else the path.", valueName: "file"))
  var criu: String?

  func run() async throws {
    let socket: EngineSocket
    do throws(EngineSocket.Broken) { socket = try EngineSocket(descriptor: descriptor) } catch {
      throw ValidationError(error.message ?? "descriptor \(descriptor) is no socket")
    }
    var session = EngineSession(socket: socket, criu: criu)
    let status = await session.run()
    if status != 0 { throw ExitCode(status) }
  }
}
