import Foundation
import Sluice
import SluiceTestSupport
import SluiceWire
import Testing

@Suite("sluice page-server", .timeLimit(.minutes(15)))
struct PageServerCommandTests {
  private static let process = PageServerObject.process(pid: 17)
  private static let page = [UInt8](repeating: 7, count: Int(getpagesize()))

  // MARK: How it is called

  @Test func `the help tells what there is, and nothing of the program's own`() async throws {
    let result = try await SluiceCommandLine.run(["page-server", "--help"])
    #expect(result.end == .exited(0))
    for text in [
      "--serve", "--daemon", "--pidfile", "--status-fd", "--ps-socket", "--tls-cacert", "--max-sessions",
      "sluice page-server -D images/1 --port 9876",
    ] { #expect(result.output.contains(text), "\(text)") }
    for text in ["--listen-fd", "--is-daemon", "--lazy-pages"] {
      #expect(!result.output.contains(text), "\(text)")
    }
  }

  @Test(arguments: [
    ([], "--images-dir"),
    (["-D", "x", "--lazy-pages"], "criu page-server --lazy-pages"),
    (["-D", "x", "--prev-images-dir", ""], "--prev-images-dir"),
    (["-D", "x", "--idle-timeout", "0"], "--idle-timeout"),
    (["-D", "x", "--idle-timeout", "1e12"], "--idle-timeout"),
    (["-D", "x", "--port", "0"], "--port"), (["-D", "x", "--port", "65536"], "--port"),
    (["-D", "x", "--max-sessions", "0"], "--max-sessions"),
    (["-D", "x", "--max-sessions", "4097"], "--max-sessions"),
    (["-D", "x", "--max-bytes", "many"], "--max-bytes"),
    (["-D", "x", "--serve", "--prev-images-dir", "y"], "--serve"),
    (["-D", "x", "--serve", "--ps-socket", "9"], "--ps-socket"),
    (["-D", "x", "--ps-socket=-1"], "--ps-socket"),
    (["-D", "x", "--daemon", "--ps-socket", "2"], "from 3 up"),
    (["-D", "x", "--pidfile", "y"], "--daemon"),
    (["-D", "x", "--tls-cert", "y"], "--tls"), (["-D", "x", "--tls-no-cn-verify"], "--tls"),
    (["-D", "x", "--timeout", "0"], "--timeout"),
    (["-D", "x", "--io", "fast"], "--io"),
  ])
  func `wrong usage is told`(arguments: [String], word: String) async throws {
    expectFailure(try await SluiceCommandLine.run(["page-server"] + arguments), code: 64, saying: word)
  }

  @Test(arguments: [
    (["--address", "localhost.example"], 66, "in numbers"),
    (["--tls", "--tls-cert", "/nowhere/cert"], 66, "/nowhere/cert"),
    (["--address", "192.0.2.1"], 74, "192.0.2.1"),
  ])
  func `a server that cannot be says why`(arguments: [String], code: Int32, word: String) async throws {
    try await withTemporaryDirectory { directory in
      let result = try await SluiceCommandLine.run(["page-server", "-D", "\(directory)/x"] + arguments)
      expectFailure(result, code: code, saying: word)
      #expect(names(in: directory) == [])
    }
  }

  @Test(arguments: ["same", "../{number}", ".{number}"])
  func `sessions must have names of their own`(name: String) async throws {
    try await withTemporaryDirectory { directory in
      let result = try await SluiceCommandLine.run([
        "page-server", "-D", "\(directory)/x", "--address", "127.0.0.1", "--serve", "--session-name", name,
      ])
      #expect(result.end == .exited(64), "\(result.errors)")
      #expect(result.errors.contains("'\(name)'"), "\(result.errors)")
      #expect(names(in: directory) == [])
    }
  }

  // MARK: One session

  @Test func `one session is told of as JSON`() async throws {
    try await MemoryTarget.run(["--size", "4M"]) { target in
      try await withTemporaryDirectory { directory in
        let (here, there) = ("\(directory)/client", "\(directory)/server")
        try await RunningPageServer.run(["-D", there, "--json"]) { server in
          let sent = try await SluiceCommandLine.preDump(
            pid: target.pid, images: here, server.client + ["--json"])
          #expect(sent.end == .exited(0), "\(sent.errors)")
          #expect(sent.errors.contains("only the page server 127.0.0.1:\(server.port) has"), "\(sent.errors)")
          #expect(sent.errors.contains("--keep-pages"), "\(sent.errors)")
          let result = try await server.program.result()
          #expect(result.end == .exited(0), "\(result.errors)")
          let session = try jsonObject(result.output)
          let pages = try #require(session["pages"] as? Int)
          #expect(try jsonObject(sent.output)["pages_written"] as? Int == pages)
          #expect(session["session"] as? Int == 1)
          #expect((session["client"] as? String)?.hasPrefix("127.0.0.1:") == true)
          #expect(session["images_dir"] as? String == there)
          #expect(session["header_bytes"] as? Int == 24)
          #expect(session["pagemaps"] as? Int == 1)
          #expect(session["parent_pages"] as? Int == 0)
          #expect(session["bytes"] as? Int == pages * Self.page.count)
          #expect(session["session_us"] as? Int ?? 0 > 0)
          for name in ["reason", "parent_dir", "client_name"] { #expect(session[name] == nil) }
          #expect(result.errors.contains("\(pages) pages"), "\(result.errors)")
          #expect(result.errors.contains(there), "\(result.errors)")
        }
        #expect(names(in: there)?.contains("session.img") == true)
        #expect(names(in: there)?.contains("pages-65537.img") == true, "\(names(in: there) ?? [])")
        #expect(looksFinished(here) && names(in: here)?.contains("sent.img") == true)
        #expect(names(in: here)?.contains { $0.hasPrefix("pages-") } == false)
        let verified = try await SluiceCommandLine.run(["verify", "-D", there])
        #expect(verified.end == .exited(0), "\(verified.errors)")
        #expect((verified.output + verified.errors).contains("inventory.img"))
      }
    }
  }

  @Test func `a pre-dump that keeps its pages needs no advice`() async throws {
    try await MemoryTarget.run(["--size", "1M"]) { target in
      try await withTemporaryDirectory { directory in
        try await RunningPageServer.run(["-D", "\(directory)/server"]) { server in
          let sent = try await SluiceCommandLine.preDump(
            pid: target.pid, images: "\(directory)/client", server.client + ["--keep-pages"])
          #expect(sent.end == .exited(0), "\(sent.errors)")
          #expect(!sent.errors.contains("only the page server"), "\(sent.errors)")
          #expect(names(in: "\(directory)/client")?.contains("sent.img") == false)
          #expect(try await server.program.result().end == .exited(0))
        }
      }
    }
  }

  /// A client that a session fails with, and the server's exit code.
  enum BadClient: CaseIterable {
    case goes, breaksOff, garbage, lazy, silent, parentless, signal

    var code: Int32 {
      switch self {
      case .breaksOff, .silent: 74
      case .lazy, .parentless: 65
      // They begin no session, and the server waits for one that does.
      case .goes, .garbage, .signal: 143
      }
    }

    var words: String {
      switch self {
      case .goes: "without a request"
      case .breaksOff: "before it had sent everything"
      case .garbage: "not CRIU's page-server protocol"
      case .lazy: "lazy"
      case .silent: "127.0.0.1"
      case .parentless: "--prev-images-dir"
      case .signal: "the session was cancelled"
      }
    }
  }

  @Test(arguments: BadClient.allCases)
  func `of a session that fails nothing is kept`(bad: BadClient) async throws {
    try await withTemporaryDirectory { directory in
      let images = "\(directory)/images"
      let patience = bad == .silent ? "0.3" : "60"
      try await RunningPageServer.run(["-D", images, "--idle-timeout", patience, "--json"]) { server in
        let client = PageServerClient(layout: .bytes32)
        let raw = try RawClient(port: server.port)
        if bad != .goes, bad != .garbage {
          try raw.send(client.open(Self.process))
          #expect(try await raw.receive(1) == [0])
        }
        switch bad {
        case .goes: break
        case .garbage: try raw.send(Array("GET / HTTP/1.1\r\nHost: a\r\n\r\n".utf8))
        case .lazy: try raw.send(PageServerHeader(7, pageCount: 1, object: 17).encoded(.bytes32))
        case .parentless:
          try raw.send(
            client.pages(of: Self.process, address: 0, pageCount: 1, flags: PageServerFlags.parent))
        case .breaksOff, .silent, .signal:
          try raw.send(
            client.pages(of: Self.process, address: 0x1000, pageCount: 1, flags: PageServerFlags.present))
          try raw.send(Self.page)
        }
        switch bad {
        case .breaksOff: raw.end()
        case .goes, .garbage:
          raw.end()
          try await eventually("the client is ignored a client") {
            let said = try server.program.errorsSoFar()
            return said.contains("ignored a client") && said.contains(bad.words)
          }
          server.program.send(SIGTERM)
        case .signal: server.program.send(SIGTERM)
        default: break
        }
        let result = try await server.program.result()
        #expect(result.end == .exited(bad.code), "\(result.errors)")
        #expect(result.output.isEmpty)
        #expect(result.errors.contains(bad.words), "\(result.errors)")
      }
      #expect((names(in: images) ?? []).isEmpty)
    }
  }

  @Test func `a directory that has images is refused before anybody can connect`() async throws {
    try await withTemporaryDirectory { directory in
      let images = "\(directory)/images"
      try FileManager.default.createDirectory(atPath: images, withIntermediateDirectories: false)
      try "".write(toFile: "\(images)/pages-1.img", atomically: false, encoding: .utf8)
      let result = try await SluiceCommandLine.run(["page-server", "-D", images, "--address", "127.0.0.1"])
      expectFailure(result, code: 73, saying: images, "pages-1.img")
      #expect(!result.errors.contains("listening"), "\(result.errors)")
      #expect(names(in: images) == ["pages-1.img"])
    }
  }

  @Test func `one session builds on another, with a directory as CRIU names it`() async throws {
    try await MemoryTarget.run(["--size", "4M"]) { target in
      try await withTemporaryDirectory { directory in
        for round in 1...2 {
          let parent = round == 1 ? [] : ["--prev-images-dir", "../1"]
          let arguments = ["-D", "\(directory)/server/\(round)", "--json"]
          try FileManager.default.createDirectory(
            atPath: "\(directory)/server", withIntermediateDirectories: true)
          try await RunningPageServer.run(arguments + parent) { server in
            let sent = try await SluiceCommandLine.preDump(
              pid: target.pid, images: "\(directory)/client-\(round)",
              server.client + ["--tracker", "content"]
                + (round == 1 ? [] : ["--prev-images-dir", "../client-1"]))
            #expect(sent.end == .exited(0), "\(sent.errors)")
            let session = try jsonObject(try await server.program.result().output)
            guard round == 2 else { return }
            #expect(session["parent_pages"] as? Int ?? 0 > 0)
            #expect((session["parent_dir"] as? String)?.hasSuffix("/1") == true, "\(session)")
          }
        }
        #expect(
          try FileManager.default.destinationOfSymbolicLink(atPath: "\(directory)/server/2/parent") == "../1")
      }
    }
  }

  @Test func `a connection that there is already does for a session`() async throws {
    try await MemoryTarget.run(["--size", "4M"]) { target in
      try await withTemporaryDirectory { directory in
        let sockets = try ConnectedSockets()
        var server = try Command(
          built: "sluice", ["page-server", "-D", "\(directory)/server", "--ps-socket", "3", "--json"])
        server.inherited = [3: sockets.ends.0]
        try await withProgram(server) { server in
          var client = try Command(
            built: "sluice",
            [
              "pre-dump", "-t", "\(target.pid)", "-D", "\(directory)/client", "--page-server", "--ps-socket",
              "3",
            ])
          client.inherited = [3: sockets.ends.1]
          let sent = try await client.run()
          #expect(sent.end == .exited(0), "\(sent.errors)")
          let result = try await server.result()
          #expect(result.end == .exited(0), "\(result.errors)")
          #expect(try jsonObject(result.output)["client"] as? String == "local")
          #expect(!result.errors.contains("warning"), "\(result.errors)")
        }
        #expect(names(in: "\(directory)/server")?.contains("session.img") == true)
      }
    }
  }

  // MARK: In the background

  /// The processes that have a text among their arguments.
  private func processes(with text: String) -> [Int32] {
    let all = (names(in: "/proc") ?? []).compactMap { Int32($0) }
    return all.filter { pid in
      guard let line = FileManager.default.contents(atPath: "/proc/\(pid)/cmdline") else { return false }
      return String(decoding: line, as: UTF8.self).split(separator: "\0").contains(Substring(text))
    }
  }

  @Test(arguments: ["--daemon", "-d", "-dv"])
  func `it goes on in the background, and says when it listens`(option: String) async throws {
    try await MemoryTarget.run(["--size", "1M"]) { target in
      try await withTemporaryDirectory { directory in
        let (images, file) = ("\(directory)/images", "\(directory)/pid")
        let status = Pipe()
        var command = try Command(
          built: "sluice",
          [
            "page-server", "-D", images, "--address", "127.0.0.1", option, "--pidfile", file, "--status-fd",
            "3",
            "--timeout", "100", "--log-file", "\(directory)/log",
          ])
        command.inherited = [3: status.fileHandleForWriting.fileDescriptor]
        let result = try await command.run()
        #expect(result.end == .exited(0), "\(result.errors)")
        try status.fileHandleForWriting.close()
        let port = try #require(RunningPageServer.port(in: result.errors), "\(result.errors)")
        let said = try await blocking { try status.fileHandleForReading.readToEnd() }
        #expect(said == Data([0]))
        let text = try String(contentsOfFile: file, encoding: .utf8)
        let pid = try #require(Int32(text), "'\(text)'")
        #expect(processes(with: images) == [pid])
        #expect(getsid(pid) == pid)
        let attributes = try FileManager.default.attributesOfItem(atPath: file)
        #expect(attributes[.posixPermissions] as? Int == 0o600)
        let sent = try await SluiceCommandLine.preDump(
          pid: target.pid, images: "\(directory)/client", RunningPageServer.client(port))
        #expect(sent.end == .exited(0), "\(sent.errors)")
        try await eventually("the server has ended") { processes(with: images).isEmpty }
        #expect(names(in: images)?.contains("session.img") == true)
        #expect(try String(contentsOfFile: "\(directory)/log", encoding: .utf8).contains("session 1"))
      }
    }
  }

  @Test func `a pid file that is there is left alone, and so no server stays`() async throws {
    try await withTemporaryDirectory { directory in
      let (images, file) = ("\(directory)/images", "\(directory)/pid")
      try "another's".write(toFile: file, atomically: false, encoding: .utf8)
      let result = try await SluiceCommandLine.run([
        "page-server", "-D", images, "--address", "127.0.0.1", "--daemon", "--pidfile", file, "--timeout",
        "100",
      ])
      #expect(result.end == .exited(73), "\(result.errors)")
      #expect(result.errors.contains(file), "\(result.errors)")
      #expect(try String(contentsOfFile: file, encoding: .utf8) == "another's")
      try await eventually("the server has ended") { processes(with: images).isEmpty }
    }
  }

  // MARK: Many sessions

  @Test(arguments: [SIGTERM, SIGINT])
  func `a signal ends a server that stays, and is no failure`(signal: Int32) async throws {
    try await MemoryTarget.run(["--size", "4M"]) { target in
      try await withTemporaryDirectory { directory in
        let images = "\(directory)/server"
        try await RunningPageServer.run(["-D", images, "--serve", "--json"]) { server in
          let bad = try RawClient(port: server.port)
          try bad.send(Array("GET / HTTP/1.1\r\nHost: a\r\n\r\n".utf8))
          #expect(try await bad.receive(1).isEmpty)
          let sent = try await SluiceCommandLine.preDump(
            pid: target.pid, images: "\(directory)/client",
            server.client + ["--rounds", "2", "--until-pages", "0", "--until-skipped", "100"])
          #expect(sent.end == .exited(0), "\(sent.errors)")
          // One is under way.
          let raw = try RawClient(port: server.port)
          let client = PageServerClient(layout: .bytes24)
          try raw.send(client.open(Self.process))
          #expect(try await raw.receive(1) == [0])
          try raw.send(
            client.pages(of: Self.process, address: 0, pageCount: 1, flags: PageServerFlags.present))
          try raw.send(Self.page)
          server.program.send(signal)
          let result = try await server.program.result()
          #expect(result.end == .exited(0), "\(result.errors)")
          #expect(result.errorLines.last?.contains("has stopped") == true, "\(result.errors)")
          let sessions = try result.output.split(separator: "\n").map { try jsonObject($0 + "\n") }
          let complete = sessions.filter { $0["reason"] == nil }
          #expect(complete.map { $0["images_dir"] as? String } == (1...2).map { "\(images)/127.0.0.1-\($0)" })
          #expect(complete.last?["parent_dir"] as? String == "\(images)/127.0.0.1-1")
          #expect(sessions.compactMap { $0["session"] as? Int }.sorted().prefix(3) == [1, 2, 3])
          let failed = try #require(sessions.first { $0["session"] as? Int == 1 })
          #expect((failed["reason"] as? String)?.contains("page-server protocol") == true, "\(failed)")
          #expect(failed["images_dir"] == nil)
        }
        #expect(names(in: images) == ["127.0.0.1-1", "127.0.0.1-2"])
      }
    }
  }

  @Test(arguments: PageServerLayout.allCases)
  func `the next session may begin before the connection of the last is closed`(
    layout: PageServerLayout
  ) async throws {
    try await withTemporaryDirectory { directory in
      try await RunningPageServer.run(["-D", "\(directory)/server", "--serve"]) { server in
        let client = PageServerClient(layout: layout)
        let first = try RawClient(port: server.port)
        try first.send(client.open(Self.process))
        #expect(try await first.receive(1) == [0])
        try first.send(
          client.pages(of: Self.process, address: 0, pageCount: 1, flags: PageServerFlags.present))
        try first.send(Self.page + client.close(keepsConnection: false))
        #expect(try await first.receive(4) == [0, 0, 0, 0])
        let second = try RawClient(port: server.port)
        try second.send(client.hasParent(Self.process))
        #expect(try await second.receive(4) == [1, 0, 0, 0])
        withExtendedLifetime(first) {}
      }
    }
  }

  @Test(arguments: [true, false])
  func `a service manager's socket is used, and it is told when the server is ready`(
    isOurs: Bool
  ) async throws {
    try await withTemporaryDirectory { directory in
      let (descriptor, port) = try PageServer.listen(at: "127.0.0.1", port: 0)
      defer { close(descriptor) }
      let manager = try NotifySocket(at: "\(directory)/notify")
      // The shell becomes sluice, and so keeps its pid. Another's sockets are not for us.
      let script = "LISTEN_PID=\(isOurs ? "$$" : "1") LISTEN_FDS=2 exec \"$@\""
      var command = try Command(
        installed: "bash",
        [
          "-c", script, "bash", try Command.builtPath("sluice"), "page-server", "--serve", "-D",
          "\(directory)/x",
        ] + (isOurs ? ["--port", "9"] : ["--address", "127.0.0.1"]))
      command.inherited = [3: descriptor]
      command.environment = ["NOTIFY_SOCKET": manager.path]
      try await withProgram(command) { program in
        #expect(try await manager.next() == "READY=1")
        let said = try program.errorsSoFar()
        #expect(said.contains("listening at 127.0.0.1, port "), "\(said)")
        #expect((RunningPageServer.port(in: said) == port) == isOurs, "\(said)")
        #expect(!said.contains("warning"), "\(said)")
        let client = PageServerClient(layout: .bytes32)
        let raw = try RawClient(port: try #require(RunningPageServer.port(in: said)))
        try raw.send(client.hasParent(Self.process))
        #expect(try await raw.receive(4) == [0, 0, 0, 0])
        program.send(SIGTERM)
        #expect(try await manager.next() == "STOPPING=1")
        let result = try await program.result()
        #expect(result.end == .exited(0), "\(result.errors)")
      }
    }
  }

  @Test func `without TLS a server that others can reach warns`() async throws {
    try await withTemporaryDirectory { directory in
      let command = try Command(built: "sluice", ["page-server", "-D", "\(directory)/x"])
      try await withProgram(command) { program in
        try await eventually("it warns") { try program.errorsSoFar().contains("--tls") }
        #expect(try program.errorsSoFar().contains("listening at 0.0.0.0"))
        program.send(SIGINT)
        let result = try await program.result()
        #expect(result.end == .exited(130))
        #expect(result.errorLines.last?.contains("before a client came") == true, "\(result.errors)")
      }
    }
  }

  // MARK: The client

  @Test(arguments: [
    (["--page-server"], "--port"), (["--page-server", "--port", "9"], "--address"),
    (["--page-server", "--address", "a", "--port", "0"], "--port"),
    (["--page-server", "--address", "", "--port", "9"], "--address"),
    (["--page-server", "--ps-socket", "3", "--port", "9"], "--ps-socket"),
    (["--page-server", "--ps-socket=-1"], "--ps-socket"),
    (["--keep-pages"], "--keep-pages needs --page-server"),
    (["--page-server-layout", "32"], "--page-server-layout needs --page-server"),
    (["--page-server", "--address", "a", "--port", "9", "--page-server-layout", "28"], "28"),
    (["--page-server", "--address", "a", "--port", "9", "--tls"], "--page-server-layout"),
    (["--page-server", "--address", "a", "--port", "9", "--tls-key", "x"], "--tls"),
    (["--page-server", "--address", "a", "--port", "9", "--io", "discard"], "pageServer"),
    (["--max-rate", "0"], "--max-rate"), (["--max-rate-file", "/proc/version"], "--max-rate-file"),
  ])
  func `a client that cannot be meant is told`(arguments: [String], word: String) async throws {
    try await withTemporaryDirectory { directory in
      let images = "\(directory)/images"
      expectFailure(
        try await SluiceCommandLine.preDump(pid: getpid(), images: images, arguments), code: 64, saying: word)
      #expect(names(in: directory) == [])
    }
  }

  @Test func `a server that is not there harms nobody`() async throws {
    try await MemoryTarget.run(["--size", "1M"]) { target in
      try await withTemporaryDirectory { directory in
        // Nobody has this port now.
        let (descriptor, port) = try PageServer.listen(at: "127.0.0.1", port: 0)
        close(descriptor)
        for (host, code) in [("127.0.0.1", 74), ("no-such-host.invalid", 66)] as [(String, Int32)] {
          let result = try await SluiceCommandLine.preDump(
            pid: target.pid, images: "\(directory)/client",
            ["--page-server", "--address", host, "--port", "\(port)"])
          expectFailure(result, code: code, saying: host)
          #expect(names(in: directory) == [])
        }
      }
      try await target.check()
    }
  }
}
