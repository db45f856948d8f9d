import Foundation
import Sluice
import SluiceTestSupport
import SluiceWire
import Testing

@Suite("sluice swrk", .timeLimit(.minutes(15)))
struct SwrkCommandTests {
  private static let (dump, preDump, featureCheck, version, singlePreDump) = (1, 4, 9, 10, 13)
  private static let noOptions: [(number: Int, value: WireMessage.Value)] = []

  /// As runc asks for one, notifications (12) included: none may come before the answer.
  private func preDumpRequest(
    pid: Int32, images: OpenDirectory, work: OpenDirectory, parent: String? = nil, type: Int = preDump
  ) -> [UInt8] {
    var options: [(number: Int, value: WireMessage.Value)] = [
      (1, .integer(Int(images.number))), (2, .integer(Int(pid))), (9, .integer(4)), (10, .text("dump.log")),
      (12, .integer(1)), (17, .integer(Int(work.number))), (37, .text("mnt[/x]:y")),
      (44, .text("/nowhere/freezer")),
    ]
    if let parent { options += [(14, .text(parent)), (15, .integer(1))] }
    return WireMessage.request(type, options)
  }

  @Test func makesPreDumpsForAnEngine() async throws {
    try await MemoryTarget.run(["--size", "16M", "--write-rate", "200"]) { target in
      try await withTemporaryDirectory { directory in
        let work = try OpenDirectory(making: "\(directory)/work")
        try await Engine.run { engine in
          for round in 1...3 {
            let images = try OpenDirectory(making: "\(directory)/\(round)")
            let answer = try await engine.ask(
              preDumpRequest(
                pid: target.pid, images: images, work: work, parent: round == 1 ? nil : "../\(round - 1)"))
            #expect(answer == EngineAnswer(.preDump))
            #expect(looksFinished(images.path))
            let inventory = try await Crit.decode("\(images.path)/inventory.img")
            #expect(inventory.first?["pre_dump_mode"] as? Int == 2)
            let statistics = try await Crit.decode("\(work.path)/stats-dump").first?["dump"] as? [String: Any]
            let skipped = try #require(statistics?["pages_skipped_parent"] as? Int)
            if round == 1 {
              #expect(skipped == 0)
            } else {
              // Without soft-dirty the second round is the first that notes what later ones compare with.
              if round == 3 { #expect(skipped > 0) }
              let link = try FileManager.default.destinationOfSymbolicLink(atPath: "\(images.path)/parent")
              #expect(link == "../\(round - 1)")
            }
          }
          let result = try await engine.end()
          #expect(result.end == .exited(0), "\(result.errors)")
          let log = try String(contentsOfFile: "\(work.path)/dump.log", encoding: .utf8)
          #expect(log.contains("pages"))
        }
      }
      try await target.check()
    }
  }

  @Test func endsAfterASinglePreDump() async throws {
    try await MemoryTarget.run(["--size", "1M"]) { target in
      try await withTemporaryDirectory { directory in
        let images = try OpenDirectory(making: "\(directory)/1")
        try await Engine.run { engine in
          let request = preDumpRequest(
            pid: target.pid, images: images, work: images, type: Self.singlePreDump)
          let answer = try await engine.ask(request)
          #expect(answer == EngineAnswer(.singlePreDump))
          #expect(looksFinished(images.path))
          #expect(try await engine.program.nextPacket().isEmpty)
          #expect(try await engine.program.result().end == .exited(0))
        }
      }
    }
  }

  @Test func takesADirectoryByItsPathToo() async throws {
    try await MemoryTarget.run(["--size", "1M"]) { target in
      try await withTemporaryDirectory { directory in
        _ = try OpenDirectory(making: "\(directory)/1")
        try await Engine.run { engine in
          let answer = try await engine.ask(
            WireMessage.request(
              Self.preDump,
              [(1, .integer(-1)), (2, .integer(Int(target.pid))), (68, .text("\(directory)/1"))]))
          #expect(answer == EngineAnswer(.preDump))
          #expect(looksFinished("\(directory)/1"))
          #expect(names(in: "\(directory)/1")?.contains("criu.log") == true)
        }
      }
    }
  }

  /// What an engine may get wrong, and a word of what it is told.
  enum Mistake: CaseIterable {
    case noOptions, noProcess, noDirectory, closedDirectory, file, goneProcess, usedDirectory, noParent
    case emptyParent, noLog

    var words: String {
      switch self {
      case .noOptions, .noProcess: "names no process"
      case .noDirectory: "names no directory"
      case .closedDirectory: "EBADF or ENOENT"
      case .file: "is no directory"
      case .goneProcess: "process"
      case .usedDirectory: "images"
      case .noParent: "nothing"
      case .emptyParent: "--prev-images-dir"
      case .noLog: "log file"
      }
    }
  }

  @Test(arguments: Mistake.allCases)
  func saysWhatIsWrong(mistake: Mistake) async throws {
    try await MemoryTarget.run(["--size", "1M"]) { target in
      try await withTemporaryDirectory { directory in
        let images = try OpenDirectory(making: "\(directory)/1")
        let file = FileHandle(forReadingAtPath: "/dev/null")
        var options: [(number: Int, value: WireMessage.Value)] = [
          (1, .integer(Int(images.number))), (2, .integer(Int(target.pid))),
        ]
        switch mistake {
        case .noOptions: options = []
        case .noProcess: options.removeLast()
        case .noDirectory: options.removeFirst()
        case .closedDirectory: options[0].value = .integer(4_000_000)
        case .file: options[0].value = .integer(Int(try #require(file).fileDescriptor))
        case .goneProcess: options[1].value = .integer(Int(Int32.max))
        case .usedDirectory:
          try "".write(toFile: "\(images.path)/pages-1.img", atomically: true, encoding: .utf8)
        case .noParent: options.append((14, .text("../nowhere")))
        case .emptyParent: options.append((14, .text("")))
        case .noLog: options.append((10, .text("no/such/log")))
        }
        try await Engine.run { engine in
          let answer = try await engine.ask(WireMessage.request(Self.preDump, options))
          #expect(answer.kind == .preDump)
          let failure = try #require(answer.failure)
          #expect(failure.errno > 0)
          #expect(!failure.message.isEmpty)
          switch mistake {
          case .closedDirectory: #expect(failure.message.contains("descriptor 4000000"))
          case .noParent: #expect(failure.message.contains("nowhere"))
          default: #expect(failure.message.contains(mistake.words), "\(failure.message)")
          }
          #expect(!looksFinished(images.path))
          // It ends, as CRIU does.
          #expect(try await engine.program.nextPacket().isEmpty)
          #expect(try await engine.program.result().end == .exited(1))
        }
      }
      try await target.check()
    }
  }

  @Test func answersWhateverIsBroken() async throws {
    var random = SplitMix(seed: 7)
    // No packet has more than the socket takes; a byte alone is cut off, random ones are mostly nonsense.
    let packets: [[UInt8]] =
      [[0x08], [0xff], [UInt8](repeating: 0, count: 5000), [UInt8](repeating: 0xff, count: 60_000)]
      + (0..<12).map { count in (0...count * 7).map { _ in UInt8.random(in: 0...255, using: &random) } }
    for packet in packets {
      try await Engine.run { engine in
        let answer = try await engine.ask(packet)
        #expect(answer.failure != nil, "\(packet)")
        #expect(try await engine.program.nextPacket().isEmpty)
        #expect(try await engine.program.result().end == .exited(1))
      }
    }
  }

  @Test func refusesWhatCannotFollowAPreDump() async throws {
    try await MemoryTarget.run(["--size", "1M"]) { target in
      try await withTemporaryDirectory { directory in
        let images = try OpenDirectory(making: "\(directory)/1")
        try await Engine.run { engine in
          let request = preDumpRequest(pid: target.pid, images: images, work: images)
          #expect(try await engine.ask(request).failure == nil)
          let answer = try await engine.ask(WireMessage.request(Self.version))
          #expect(answer.failure?.message.contains("after a pre-dump") == true)
          #expect(try await engine.program.result().end == .exited(1))
        }
      }
    }
  }

  @Test func tellsWhetherMemoryIsTracked() async throws {
    try await Engine.run { engine in
      var question = WireMessage([(1, .integer(Self.featureCheck))])
      question.add(5, .message(WireMessage([(1, .integer(1)), (3, .integer(1))])))
      let features = try #require(try await engine.ask(question.bytes).features)
      let check = try jsonObject(try await SluiceCommandLine.run(["check", "--json"]).output)
      let findings = try #require(check["findings"] as? [[String: Any]])
      let softDirty = try #require(findings.first { $0["subject"] as? String == "soft-dirty" })
      #expect(features.tracksMemory == softDirty["available"] as? Bool)
      #expect(features.storesPidfds == false)
      #expect(features.lazyPages == nil)
      #expect(try await engine.program.result().end == .exited(0))
    }
  }

  @Test func asksCriuWhatConcernsCriu() async throws {
    try await StandInCriu.with { criu in
      try await Engine.run(criu: criu.path) { engine in
        var question = WireMessage([(1, .integer(Self.featureCheck)), (4, .integer(1))])
        question.add(5, .message(WireMessage([(2, .integer(1))])))
        #expect(try await engine.ask(question.bytes).features?.lazyPages == true)
        // The connection was to be kept.
        try engine.program.send(packet: WireMessage.request(Self.version))
        let answer = try await engine.program.nextPacket()
        #expect(answer.suffix(6) == [0x52, 4, 0x08, 3, 0x10, 17])
        let result = try await engine.program.result()
        #expect(result.end == .exited(0), "\(result.errors)")
        let calls = try criu.calls()
        #expect(
          calls.map(\.packet) == [question.bytes, WireMessage.request(Self.version)].map(hexadecimalText))
        #expect(calls.allSatisfy { $0.pid != engine.program.pid && $0.peer == engine.program.pid })
      }
    }
  }

  private func hexadecimalText(_ bytes: [UInt8]) -> String? {
    bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
  }

  @Test(arguments: [
    (WireMessage.request(dump, [(1, .integer(5))]), false), (WireMessage.request(77), false),
    // Pages that come when they are needed, and an option of a newer CRIU.
    (WireMessage.request(preDump, [(1, .integer(5)), (48, .integer(1))]), false),
    (WireMessage.request(singlePreDump, [(1, .integer(5)), (172, .text("new"))]), false),
    // In the middle of a session.
    (WireMessage.request(dump, [(1, .integer(5)), (14, .text("../1"))]), true),
  ])
  func handsTheRestOn(packet: [UInt8], afterPreDump: Bool) async throws {
    try await MemoryTarget.run(["--size", "1M"]) { target in
      try await withTemporaryDirectory { directory in
        try await StandInCriu.with { criu in
          let images = try OpenDirectory(making: "\(directory)/1")
          var plain = rlimit()
          unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &plain)
          try await Engine.run(criu: criu.path) { engine in
            if afterPreDump {
              let request = preDumpRequest(pid: target.pid, images: images, work: images)
              #expect(try await engine.ask(request).failure == nil)
            }
            #expect(try await engine.ask(packet).failure == nil)
            let result = try await engine.program.result()
            #expect(result.end == .exited(0), "\(result.errors)")
            let call = try #require(try criu.calls().last)
            #expect(try criu.calls().count == 1)
            #expect(call.arguments == ["swrk", "3"])
            #expect(call.packet == hexadecimalText(packet))
            // By these CRIU finds the engine's descriptors, and the engine its CRIU.
            #expect(call.pid == engine.program.pid)
            #expect(call.peer == getpid())
            #expect(call.signals["SigBlk"] == "0000000000000000")
            let ignored = try #require(call.signals["SigIgn"].flatMap { UInt64($0, radix: 16) })
            for signal in [SIGHUP, SIGINT, SIGTERM] { #expect(ignored & 1 << (signal - 1) == 0) }
            #expect(call.descriptors == Int(plain.rlim_cur))
          }
        }
      }
    }
  }

  @Test func handsOnWhatAConfigurationFileHasForCriu() async throws {
    try await withTemporaryDirectory { directory in
      try await StandInCriu.with { criu in
        let (images, file) = (try OpenDirectory(making: "\(directory)/1"), "\(directory)/conf")
        try "lazy-pages\n".write(toFile: file, atomically: false, encoding: .utf8)
        try await Engine.run(criu: criu.path) { engine in
          let packet = WireMessage.request(
            Self.preDump, [(1, .integer(Int(images.number))), (2, .integer(1)), (51, .text(file))])
          let answer = try await engine.ask(packet)
          #expect(answer.failure == nil)
          #expect(try await engine.program.result().end == .exited(0))
          #expect(try criu.calls().last?.packet == hexadecimalText(packet))
        }
      }
    }
  }

  @Test func tellsStandardErrorWhereThatIsAskedFor() async throws {
    try await MemoryTarget.run(["--size", "1M"]) { target in
      try await withTemporaryDirectory { directory in
        let images = try OpenDirectory(making: "\(directory)/1")
        try await Engine.run { engine in
          let answer = try await engine.ask(
            WireMessage.request(
              Self.singlePreDump,
              [
                (1, .integer(Int(images.number))), (2, .integer(Int(target.pid))), (9, .integer(4)),
                (10, .text("log")), (5, .integer(1)), (45, .integer(1)), (71, .integer(1)),
              ]))
          #expect(answer.failure == nil)
          let result = try await engine.program.result()
          for text in ["pages", "tcp_established is ignored"] {
            #expect(result.errors.contains(text), "\(result.errors)")
          }
          #expect(names(in: images.path)?.contains("log") == false)
        }
      }
    }
  }

  @Test func makesPreDumpsByTheNameOfCriu() async throws {
    try await MemoryTarget.run(["--size", "1M"]) { target in
      try await withTemporaryDirectory { directory in
        let (link, images, file) = ("\(directory)/criu", "\(directory)/1", "\(directory)/pid")
        try FileManager.default.createSymbolicLink(
          atPath: link, withDestinationPath: try Command.builtPath("sluice"))
        try "\(target.pid)\n".write(toFile: file, atomically: false, encoding: .utf8)
        var command = Command(
          link,
          [
            "--verbosity=4", "pre-dump", "--tre", "\(target.pid)", "-D\(images)", "--pidfile", file,
            "--timeout", "1",
            "--config", "/dev/null", "--root", "/", "-r/", "--status-fd", "9", "--ghost-fiemap", "--daemon",
            "--skip-file-rwx-check", "--inherit-fd", "fd[9]:x", "--veth-pair", "a=b", "--close", "9", "-jl",
          ])
        command.environment = ["SLUICE_CRIU": "/nowhere/criu"]
        let result = try await command.run()
        #expect(result.end == .exited(0), "\(result.errors)")
        #expect(looksFinished(images))
        #expect(result.errors.contains("--pidfile is ignored"), "\(result.errors)")
        #expect(try String(contentsOfFile: file, encoding: .utf8) == "\(target.pid)\n")
      }
    }
  }

  @Test(arguments: [false, true])
  func sendsPreDumpsToAPageServer(byDescriptor: Bool) async throws {
    try await MemoryTarget.run(["--size", "4M"]) { target in
      try await withTemporaryDirectory { directory in
        let (images, sockets) = (try OpenDirectory(making: "\(directory)/1"), try ConnectedSockets())
        func preDump(_ server: WireMessage) async throws {
          try await Engine.run(inherited: [4: sockets.ends.1]) { engine in
            let answer = try await engine.ask(
              WireMessage.request(
                Self.singlePreDump,
                [
                  (1, .integer(Int(images.number))), (2, .integer(Int(target.pid))), (11, .message(server)),
                ]))
            #expect(answer == EngineAnswer(.singlePreDump))
            #expect(try await engine.program.result().end == .exited(0))
          }
        }
        func expectEnd(of server: Program) async throws {
          let result = try await server.result()
          #expect(result.end == .exited(0), "\(result.errors)")
        }
        if byDescriptor {
          var command = try Command(
            built: "sluice", ["page-server", "-D", "\(directory)/server", "--ps-socket", "3"])
          command.inherited = [3: sockets.ends.0]
          try await withProgram(command) { server in
            try await preDump(WireMessage([(4, .integer(4))]))
            try await expectEnd(of: server)
          }
        } else {
          try await RunningPageServer.run(["-D", "\(directory)/server"]) { server in
            try await preDump(WireMessage([(1, .text("127.0.0.1")), (2, .integer(Int(server.port)))]))
            try await expectEnd(of: server.program)
          }
        }
        #expect(looksFinished(images.path) && names(in: images.path)?.contains("sent.img") == true)
        #expect(names(in: "\(directory)/server")?.contains("session.img") == true)
      }
      try await target.check()
    }
  }

  private static let (pageServer, waitForProcess, pageServerChild) = (5, 11, 12)

  @Test(arguments: [pageServer, pageServerChild], [false, true])
  func startsAPageServerForAnEngine(type: Int, breaksOff: Bool) async throws {
    try await MemoryTarget.run(["--size", "1M"]) { target in
      try await withTemporaryDirectory { directory in
        let images = try OpenDirectory(making: "\(directory)/server")
        try await Engine.run { engine in
          let answer = try await engine.ask(
            WireMessage.request(
              type,
              [
                (1, .integer(Int(images.number))), (10, .text("server.log")),
                (11, .message(WireMessage([(1, .text("127.0.0.1")), (2, .integer(0))]))),
              ], keepsOpen: true))
          #expect(answer.failure == nil)
          let server = try #require(answer.pageServer)
          let (pid, port) = (try #require(server.pid), UInt16(try #require(server.port)))
          #expect(pid > 0 && port > 0)
          if breaksOff {
            try RawClient(port: port).end()
          } else {
            let sent = try await SluiceCommandLine.preDump(
              pid: target.pid, images: "\(directory)/client", RunningPageServer.client(port))
            #expect(sent.end == .exited(0), "\(sent.errors)")
          }
          if type == Self.pageServerChild {
            var request = WireMessage([(1, .integer(Self.waitForProcess))])
            request.add(6, .integer(Int(pid)))
            let end = try await engine.ask(request.bytes)
            #expect(end.failure == nil)
            #expect(end.status == (breaksOff ? 74 << 8 : 0))
          } else {
            let result = try await engine.end()
            #expect(result.end == .exited(0), "\(result.errors)")
          }
        }
        let log = "\(images.path)/server.log"
        try await eventually("the server says what came of it") {
          (try? String(contentsOfFile: log, encoding: .utf8))?.contains("\n") == true
        }
        let text = try String(contentsOfFile: log, encoding: .utf8)
        #expect(text.contains(breaksOff ? "without a request" : "pages"), "\(text)")
        #expect(names(in: images.path)?.contains("session.img") == !breaksOff)
      }
    }
  }

  @Test func saysWhatIsWrongWithARequestForAPageServer() async throws {
    try await withTemporaryDirectory { directory in
      let images = try OpenDirectory(making: "\(directory)/server")
      let place: (Int, WireMessage.Value) = (1, .integer(Int(images.number)))
      func server(_ fields: [(number: Int, value: WireMessage.Value)]) -> (Int, WireMessage.Value) {
        (11, .message(WireMessage(fields)))
      }
      for (options, words) in [
        (nil, "no options"), ([server([])], "no directory"),
        ([place, server([(2, .integer(70_000))])], "70000"),
        ([place, server([(1, .text("nobody.example"))])], "in numbers"),
      ] as [([(number: Int, value: WireMessage.Value)]?, String)] {
        try await Engine.run { engine in
          let failure = try #require(
            try await engine.ask(WireMessage.request(Self.pageServer, options)).failure)
          #expect(failure.message.contains(words), "\(failure.message)")
          #expect(try await engine.program.result().end == .exited(1))
        }
      }
      try await Engine.run { engine in
        var request = WireMessage([(1, .integer(Self.waitForProcess))])
        request.add(6, .integer(1))
        let failure = try await engine.ask(request.bytes).failure
        #expect(failure?.errno == ECHILD)
      }
    }
  }

  @Test func saysThatThereIsNoCriu() async throws {
    for type in [Self.dump, Self.version, 2, 77] {
      try await Engine.run(criu: "/nowhere/criu") { engine in
        let failure = try #require(try await engine.ask(WireMessage.request(type)).failure)
        #expect(failure.errno == ENOENT)
        #expect(failure.message.contains("/nowhere/criu"))
        #expect(failure.message.contains("SLUICE_CRIU"))
        let result = try await engine.program.result()
        #expect(result.end == .exited(1))
        #expect(result.errorLines.count == 1 && result.errors.contains("no CRIU"))
      }
    }
  }

  @Test func saysThatCriuGivesNoAnswer() async throws {
    try await Engine.run(criu: "/bin/true") { engine in
      let failure = try #require(try await engine.ask(WireMessage.request(Self.version)).failure)
      #expect(failure.message.contains("/bin/true"))
      #expect(try await engine.program.result().end == .exited(1))
    }
  }

  @Test func isOfNoUseWithoutAnEngine() async throws {
    expectFailure(
      try await SluiceCommandLine.run(["swrk", "0"]), code: 64, saying: "descriptor 0", "ENOTSOCK")
    expectFailure(
      try await SluiceCommandLine.run(["swrk", "99"]), code: 64, saying: "descriptor 99", "EBADF")
    try await Engine.run { engine in
      let result = try await engine.end()
      #expect(result.end == .exited(1))
    }
  }

  @Test func isCriuByTheNameOfCriu() async throws {
    try await StandInCriu.with { criu in
      try await withTemporaryDirectory { directory in
        let link = "\(directory)/criu"
        try FileManager.default.createSymbolicLink(
          atPath: link, withDestinationPath: try Command.builtPath("sluice"))
        for arguments in [["--version"], ["check"], ["dump", "-t", "1", "-D", "/x"], []] {
          var command = Command(link, arguments)
          // It passes itself over.
          let place = URL(fileURLWithPath: criu.path).deletingLastPathComponent().path
          command.environment = ["PATH": "\(directory):\(place)", "SLUICE_CRIU": ""]
          let result = try await command.run()
          #expect(result.end == .exited(arguments.isEmpty ? 1 : 7), "\(result.errors)")
          if !arguments.isEmpty { #expect(try criu.calls().last?.arguments == arguments) }
        }
        // What Sluice cannot do of what it does.
        var command = Command(link, ["pre-dump", "-t", "1", "-D", "/x", "--page-server", "--port", "9"])
        command.environment = ["SLUICE_CRIU": criu.path]
        #expect(try await command.run().end == .exited(7))
        #expect(try criu.calls().last?.arguments == command.arguments)
        // What nobody can do CRIU refuses.
        for wrong in [
          ["--nonsense"], ["--prev-images-dir", ""], ["-t", "one"], ["--help"], ["--rounds", "3"],
        ] {
          command.arguments = ["pre-dump", "-t", "1", "-D", "/x"] + wrong
          #expect(try await command.run().end == .exited(7))
          #expect(try criu.calls().last?.arguments == command.arguments)
        }
        command.environment = ["SLUICE_CRIU": "/nowhere/criu"]
        expectFailure(try await command.run(), code: 66, saying: "/nowhere/criu", "--rounds")
        command.arguments = ["--version"]
        command.environment = ["SLUICE_CRIU": link]
        expectFailure(try await command.run(), code: 66, saying: "no CRIU")
      }
    }
  }
}
