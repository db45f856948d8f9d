import ArgumentParser
import Glibc
import Sluice

/// `sluice page-server`
struct PageServerCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "page-server",
    abstract: "Receive the pages that a pre-dump or dump on another machine sends, and write images.",
    discussion: """
      The protocol is that of CRIU's page server, in both of its layouts: the client can be 'criu pre-dump', 'criu dump' or \
      'sluice pre-dump', with --page-server. Without --serve the server takes one session and ends, like CRIU's. The \
      other files of the images (inventory.img and, for a dump, core-*.img and so on) stay where the client is. To restore, \
      copy them beside the pages.

      For example: sluice page-server -D images/1 --port 9876
      """)

  @Option(
    name: [.customShort("D"), .long],
    help: ArgumentHelp(
      "Where the pages go. It is made if it does not exist, and must hold no pages yet.", valueName: "dir"),
    completion: .directory)
  var imagesDir: String

  @Option(help: ArgumentHelp("The address to listen on, in numbers.", valueName: "address"))
  var address = "0.0.0.0"

  @Option(help: ArgumentHelp("The port to listen on. Without it, a free one is taken.", valueName: "port"))
  var port: UInt16?

  @Option(
    help: ArgumentHelp(
      "Earlier images of the same processes, on this machine: the session builds on them.",
      discussion:
        "A relative path is taken from the images directory (like CRIU); if nothing is there, from the current directory.",
      valueName: "dir"),
    completion: .directory)
  var prevImagesDir: String?

  @Flag(help: "Free the space of pages in older images that the session replaces.")
  var autoDedup = false

  @OptionGroup
  var trust: TrustOptions

  @Option(
    help: ArgumentHelp("Serve one session on this connected socket, instead of listening.", valueName: "fd"))
  var psSocket: Int32?

  @Option(
    help: ArgumentHelp(
      "When the server listens, write a zero byte to this descriptor and close it.", valueName: "fd"))
  var statusFd: Int32?

  @Option(help: ArgumentHelp("Listen with this socket.", visibility: .hidden))
  var listenFd: Int32?

  @Flag(help: ArgumentHelp("This is the process that --daemon has started.", visibility: .hidden))
  var isDaemon = false

  @Flag(help: ArgumentHelp("End with the first client, as CRIU's server does.", visibility: .hidden))
  var firstClient = false

  @Flag(name: [.customShort("d"), .long], help: "Continue in the background once the server listens.")
  var daemon = false

  @Option(
    name: .customLong("pidfile"),
    help: ArgumentHelp("With --daemon, write the server's pid to this file.", valueName: "file"),
    completion: .file()
  )
  var daemonPidFile: String?

  @Flag(
    help: ArgumentHelp(
      "Keep serving after a session, many sessions at once, each into a directory of its own.",
      discussion: """
        A session builds on the newest one of the same client and process: so one server takes all rounds of 'sluice \
        pre-dump --rounds --page-server'.
        """))
  var serve = false

  @Option(
    help: ArgumentHelp(
      "With --serve, the names of the sessions' directories: {client}, {number} and {time} are replaced.",
      valueName: "name"))
  var sessionName = PageServer.Sessions().name

  @Option(help: ArgumentHelp("With --serve, the most sessions at once.", valueName: "n"))
  var maxSessions = PageServer.Sessions().most

  @Option(
    help: ArgumentHelp("The most bytes of pages that a session may send, such as 16G.", valueName: "size"))
  var maxBytes: ByteCount?

  @Option(
    help: ArgumentHelp(
      "How long a client may send and receive nothing before its session ends.", valueName: "seconds"))
  var idleTimeout = 60.0

  @Option(
    help: ArgumentHelp(
      "The memory that all sessions together may use, such as 16M or 1.5Gi.", valueName: "size"))
  var memoryBudget = ByteCount(bytes: 64 << 20)

  @Option(
    help: ArgumentHelp(
      """
      The way to the disk: auto, direct (past the page cache), buffered (through it, and out of it again) or cached (images \
      stay in it, and nobody waits for the disk: faster if there is memory to spare, lost if the machine crashes).
      """, valueName: "way"))
  var io = IOOption.auto

  @Flag(
    inversion: .prefixedNo,
    help: "Whether to wait until the pages are on the disk before the client is told that they have arrived.")
  var sync = true

  @Flag(help: ArgumentHelp("Refused: nobody restores from this server.", visibility: .hidden))
  var lazyPages = false

  @Flag(help: "Print a JSON object for each session on standard output.")
  var json = false

  @OptionGroup
  var tlsOptions: TLSOptions

  @Flag(name: [.short, .long], help: "Say what is being done; given twice, say more.")
  var verbose: Int

  @OptionGroup
  var runOptions: RunOptions

  func validate() throws {
    guard !lazyPages else {
      throw ValidationError(
        "this server gives no pages to a restore (--lazy-pages): use 'criu page-server --lazy-pages'"
      )
    }
    guard prevImagesDir?.isEmpty != true else {
      throw ValidationError("--prev-images-dir must name a directory: the name is empty")
    }
    guard (0.001...1e9).contains(idleTimeout) else {
      throw ValidationError("--idle-timeout must be above 0 (seconds)")
    }
    guard port != 0 else {
      throw ValidationError("--port must be from 1 to 65535; leave it out for a free one")
    }
    guard maxSessions >= 1, maxSessions <= 4096 else {
      throw ValidationError("--max-sessions must be from 1 to 4096")
    }
    if serve {
      guard prevImagesDir == nil else {
        throw ValidationError(
          "--serve finds the images that a session builds on: leave out --prev-images-dir")
      }
      guard psSocket == nil else {
        throw ValidationError("--ps-socket is a single connection: leave out --serve")
      }
    }
    if let psSocket {
      guard psSocket >= 0 else { throw ValidationError("--ps-socket must be a descriptor, from 0 up") }
      guard !daemon || psSocket > 2 else {
        throw ValidationError(
          "with --daemon, --ps-socket must be from 3 up: the descriptors below are closed")
      }
    }
    guard daemonPidFile == nil || daemon else {
      throw ValidationError("--pidfile needs --daemon")
    }
  }

  func run() async throws {
    guard daemon, !isDaemon else {
      try await runOptions.run(logsIn: imagesDir) { () async throws(SluiceError) in
        try await serveSessions()
      }
      return
    }
    try startDaemon()
  }
}

extension PageServerCommand {
  private var serverConfiguration: PageServer.Configuration {
    var configuration = PageServer.Configuration(directory: imagesDir)
    configuration.address = address
    configuration.port = port ?? 0
    configuration.parentDirectory = prevImagesDir.map { ParentPath.resolve($0, imagesDirectory: imagesDir) }
    configuration.trustsParents = trust.trustParent
    configuration.dedups = autoDedup
    configuration.memoryBudget = memoryBudget.bytes
    configuration.io = io.value
    configuration.syncs = sync
    configuration.tls = tlsOptions.files
    configuration.endsWithFirstClient = firstClient
    configuration.idleTimeLimit = .seconds(idleTimeout)
    configuration.mostBytes = maxBytes.map { UInt64($0.bytes) }
    configuration.logger = StandardErrorLog.logger(verbosity: verbose)
    return configuration
  }

  private func serveSessions() async throws(SluiceError) {
    let server =
      if let psSocket {
        try PageServer(serverConfiguration, connection: psSocket)
      } else {
        try PageServer(
          serverConfiguration, listeningOn: listenFd ?? ServiceManager.listeningDescriptor)
      }
    if !serve { try await server.checkDirectory() }
    if server.port > 0, listenFd == nil { Self.tell(listeningAt: server.address, port: server.port) }
    if tlsOptions.files == nil, server.port > 0, !PageServer.isLoopback(server.address) {
      Terminal.message(
        "sluice: warning: clients send memory, and the connection is not encrypted: others on the network can read and change it. Use --tls, or listen on 127.0.0.1 only"
      )
    }
    tellReady()
    ServiceManager.tell("READY=1")
    defer { ServiceManager.tell("STOPPING=1") }
    if serve {
      var sessions = PageServer.Sessions()
      sessions.most = maxSessions
      sessions.name = sessionName
      do throws(SluiceError) {
        try await server.run(sessions) { [json] report in Self.show(report, json: json) }
      } catch {
        // Whoever has it stop has what they wanted.
        guard error.code == .cancelled else { throw error }
        Terminal.message(
          "sluice: the page server has stopped; sessions that were not complete are removed")
      }
    } else {
      Self.show(try await server.runOnce(), json: json)
    }
  }

  private static func tell(listeningAt address: String, port: UInt16) {
    Terminal.message("sluice: listening at \(address), port \(port)")
  }

  private func tellReady() {
    guard let statusFd else { return }
    var zero: UInt8 = 0
    _ = unsafe Glibc.write(statusFd, &zero, 1)
    _ = close(statusFd)
  }

  /// Listens, and has the server go on in a process of its own. Whoever has called may connect when this returns.
  private func startDaemon() throws {
    let configuration = serverConfiguration
    var inherited: [Int32] = []
    // What another process has no use for, or is told otherwise.
    let given = Array(CommandLine.arguments.dropFirst())
    let own =
      CriuName.isOurs
      ? [Self.configuration.commandName ?? "", "--first-client"]
        + (try CriuOptions(given, for: .criu, in: .ours)).arguments
      : given
    var arguments = own + ["--is-daemon"]
    var listening: (descriptor: Int32, port: UInt16)?
    if let psSocket {
      inherited.append(psSocket)
    } else if listenFd == nil {
      do throws(SluiceError) {
        listening = try PageServer.listen(at: configuration.address, port: configuration.port)
      } catch {
        throw CommandFailure.report(error)
      }
      if let listening {
        inherited.append(listening.descriptor)
        arguments.append("--listen-fd=\(listening.descriptor)")
        Self.tell(listeningAt: address, port: listening.port)
      }
    }
    defer { if let listening { close(listening.descriptor) } }
    if let statusFd { inherited.append(statusFd) }
    let child: pid_t
    do throws(OwnProgram.Failed) {
      child = try OwnProgram.start(arguments, inheriting: inherited, isDetached: true)
    } catch {
      Terminal.message("sluice: \(error.message)")
      throw ExitCode(71)
    }
    guard let daemonPidFile else { return }
    do { try Self.write(child, to: daemonPidFile) } catch {
      kill(child, SIGKILL)
      throw error
    }
  }

  /// Writes the pid as CRIU's server does: into a new file, without the end of a line.
  private static func write(_ pid: pid_t, to path: String) throws {
    let file = unsafe open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
    guard file >= 0 else { throw CommandFailure.cannotCreate("creating the pid file \(path)", errno: errno) }
    defer { close(file) }
    let text = Array("\(pid)".utf8)
    guard unsafe Glibc.write(file, text, text.count) == text.count else {
      throw CommandFailure.cannotCreate("writing the pid file \(path)", errno: errno)
    }
  }

  private static func show(_ report: SessionReport, json: Bool) {
    Terminal.message(report.summary)
    if json, !Terminal.json(report) { _ = Terminal.outputFailed() }
  }
}

extension SessionReport {
  /// For people, in one line.
  var summary: String {
    let head = "sluice: session \(number) of \(clientName ?? client)"
    if let reason { return "\(head) failed and was removed: \(reason)" }
    guard let directory else { return "\(head): nothing was sent" }
    let parent =
      parentPages > 0
      ? ", \(Counted.pages(UInt64(clamping: parentPages))) taken from \(parentDirectory ?? "earlier images")"
      : ""
    return
      "\(head): \(Counted.pages(UInt64(clamping: pages))), \(ByteCount.text(Int(clamping: bytes))), of \(Counted.text(pagemaps, "pagemap")) in \(directory)\(parent) (\(Elapsed.text(duration)))"
  }
}
