import Foundation
import Sluice
import SluiceSystem
import SluiceTestSupport
import SluiceWire
import Testing

extension StagesTests {
  /// Clients that break off, lie, or send anything.
  @Suite("Bad clients", .timeLimit(.minutes(10)))
  struct BadClientTests {
    private static let process = PageServerObject.process(pid: 17)
    private static let pageSize = Int(getpagesize())

    /// What a client sends, and a part of the reason that the server has then.
    enum Client: CaseIterable, Sendable {
      case nothing, garbage, halfHeader, endInPages, endAfterPages, hugeCount, outOfOrder, overlap
      case unopened, secondOpen, slowHeader, slowPages, silent, noParent, unknownObject, tooMuch, badPage

      var reason: String {
        switch self {
        case .nothing: "without a request"
        case .garbage: "is not CRIU's page-server protocol"
        case .halfHeader: "after 10 of 24 bytes"
        case .endInPages: "bytes"
        case .endAfterPages: "before it had sent everything"
        case .hugeCount: "beyond all memory"
        case .outOfOrder, .overlap: "not in order"
        case .unopened: "not the object that was opened last"
        case .secondOpen: "second time"
        case .slowHeader, .slowPages: "ETIMEDOUT"
        case .silent: "ETIMEDOUT"
        case .noParent: "--prev-images-dir"
        case .unknownObject: "object of unknown kind"
        case .tooMuch: "--max-bytes"
        case .badPage: "begin where pages do"
        }
      }

      func act(on socket: borrowing StreamSocket) throws {
        let client = PageServerClient(layout: self == .hugeCount ? .bytes32 : .bytes24)
        let page = [UInt8](repeating: 7, count: pageSize)
        func send(_ bytes: [UInt8]) throws { try socket.send(unsafe bytes.span.bytes) }
        func pages(_ address: UInt64, _ count: UInt64 = 1, flags: UInt16 = PageServerFlags.present) throws {
          try send(client.pages(of: process, address: address, pageCount: count, flags: flags))
        }
        guard ![.nothing, .garbage, .silent, .unknownObject, .halfHeader].contains(self) else {
          switch self {
          case .garbage: try send(Array("GET / HTTP/1.1\r\nHost: x\r\n\r\n".utf8))
          case .unknownObject: try send(PageServerHeader(4, object: 0x1103).encoded(.bytes24))
          case .halfHeader: try send(Array(client.open(process).prefix(10)))
          default: break
          }
          return
        }
        try send(client.open(process))
        // Where a client closes with something unread, the server is told of a reset, and of no end.
        var answer: [UInt8] = [9]
        var span = answer.mutableSpan
        var room = unsafe span.mutableBytes
        guard try socket.receiveSome(into: &room) == 1 else { return }
        switch self {
        case .endInPages:
          try pages(0x1000, 3)
          try send(page + page.prefix(100))
        case .endAfterPages:
          try pages(0x1000)
          try send(page)
        case .hugeCount: try pages(0x1000, 1 << 63)
        case .outOfOrder:
          try pages(0x2000)
          try send(page)
          try pages(0x1000)
        case .overlap:
          try pages(0x1000, 2)
          try send(page + page)
          try pages(0x2000)
        case .unopened:
          try send(
            client.pages(
              of: .process(pid: 18), address: 0, pageCount: 1, flags: PageServerFlags.present))
        case .secondOpen: try send(client.open(process))
        case .slowHeader:
          for byte in client.close(keepsConnection: false).prefix(12) {
            usleep(100_000)
            guard (try? send([byte])) != nil else { return }
          }
        case .slowPages:
          try pages(0x1000, 100)
          for _ in 0..<40 {
            usleep(50_000)
            guard (try? send([1])) != nil else { return }
          }
        case .noParent: try pages(0x1000, flags: PageServerFlags.parent)
        case .tooMuch: try pages(0x1000, 1000)
        case .badPage: try pages(0x1001)
        default: break
        }
      }

      /// Whether it asks for anything before it fails. A server for one session passes over who does not.
      var begins: Bool {
        ![.nothing, .garbage, .halfHeader, .silent, .unknownObject].contains(self)
      }

      /// Whether it goes on to be connected, and waits until the server has enough of it.
      var stays: Bool {
        ![.nothing, .halfHeader, .endInPages, .endAfterPages].contains(self)
      }
    }

    private static func connect(_ port: UInt16) throws -> StreamSocket {
      try StreamSocket.connect(
        to: SocketAddress(host: "127.0.0.1", port: port), within: .seconds(10), patience: .seconds(20))
    }

    /// Acts as a client does, and waits until the server has closed the connection, if the client stays.
    private static func run(_ client: Client, at port: UInt16) throws {
      let socket = try connect(port)
      // What cannot be sent any more was enough.
      try? client.act(on: socket)
      while client.stays {
        var bytes = [UInt8](repeating: 0, count: 64)
        var span = bytes.mutableSpan
        var room = unsafe span.mutableBytes
        guard let got = try? socket.receiveSome(into: &room), got > 0 else { return }
      }
    }

    private static func configuration(_ directory: String) -> PageServer.Configuration {
      var configuration = PageServer.Configuration(directory: directory)
      configuration.address = "127.0.0.1"
      configuration.idleTimeLimit = .milliseconds(400)
      configuration.mostBytes = 2 << 20
      configuration.syncs = false
      return configuration
    }

    @Test(arguments: Client.allCases)
    func `the session ends with its reason, and nothing is left of it`(client: Client) async throws {
      try await withTemporaryDirectory { directory in
        let log = RecordedLog()
        var configuration = Self.configuration("\(directory)/images")
        configuration.logger = log.logger
        let server = try PageServer(configuration)
        let session = Task { try await server.runOnce() }
        let port = server.port
        try await blocking { try Self.run(client, at: port) }
        // The next client is served, and has nothing to send.
        if !client.begins {
          try await blocking {
            let socket = try Self.connect(port)
            try socket.send(
              unsafe PageServerClient(layout: .bytes32).close(keepsConnection: true).span.bytes)
            var bytes: [UInt8] = [1, 1, 1, 1]
            var span = bytes.mutableSpan
            var room = unsafe span.mutableBytes
            #expect(try socket.receiveSome(into: &room) == 4)
          }
          #expect(try await session.value.number == 2)
          #expect(
            log.lines.contains { $0.contains(client.reason) && $0.contains("ignored a client") },
            "\(log.lines)")
          return
        }
        let error = await #expect(throws: SluiceError.self) { try await session.value }
        #expect(
          error?.message.contains(client.reason) == true || error?.errno?.name == client.reason,
          "\(String(describing: error))")
        #expect(error?.message.contains("127.0.0.1:") == true, "\(String(describing: error))")
        #expect(names(in: "\(directory)/images") == nil)
      }
    }

    @Test func `a server that stays outlives them all, and serves the others`() async throws {
      try await MemoryTarget.run(["--size", "8M"]) { target in
        try await target.program.stop()
        try await withTemporaryDirectory { directory in
          let server = try PageServer(Self.configuration("\(directory)/server"))
          let reports = Reports()
          let serving = Task { try await server.run(PageServer.Sessions()) { reports.add($0) } }
          let port = server.port
          try await withThrowingTaskGroup(of: Void.self) { group in
            for client in Client.allCases + Client.allCases {
              group.addTask { try await blocking { try Self.run(client, at: port) } }
            }
            try await group.waitForAll()
          }
          let bad = 2 * Client.allCases.count
          try await eventually("all bad sessions have ended") { reports.all.count == bad }
          #expect(reports.all.allSatisfy { !$0.isComplete && $0.directory == nil })
          #expect(names(in: "\(directory)/server") == [])
          var client = PreDump.Configuration(pid: target.pid, imagesDirectory: "\(directory)/client")
          client.pageServer = PageServerTarget(.address(host: "127.0.0.1", port: port))
          client.memoryBudget = 1 << 20
          await #expect(throws: SluiceError.self) { try await PreDump(client).run() }
          // More than a session of this server may have; a smaller one is right.
          try await eventually("it is refused") { reports.all.count == bad + 1 }
          serving.cancel()
          let end = await #expect(throws: SluiceError.self) { try await serving.value }
          #expect(end?.code == .cancelled)
          try await StagesTests.expectNoThreads()
        }
        target.program.resume()
      }
    }

    @Test(.needsRoot) func `a full disk ends the session`() async throws {
      let disk = try SmallFilesystem(kibibytes: 1024, files: 20)
      let path = disk.path
      var configuration = Self.configuration("\(path)/images")
      configuration.mostBytes = nil
      let server = try PageServer(configuration)
      let session = Task { try await server.runOnce() }
      let port = server.port
      try await blocking {
        let socket = try Self.connect(port)
        let client = PageServerClient(layout: .bytes24)
        func send(_ bytes: [UInt8]) throws { try socket.send(unsafe bytes.span.bytes) }
        do {
          try send(client.open(Self.process))
          try send(
            client.pages(of: Self.process, address: 0, pageCount: 4096, flags: PageServerFlags.present))
          for _ in 0..<4096 { try send([UInt8](repeating: 9, count: Self.pageSize)) }
        } catch {}
      }
      let error = await #expect(throws: SluiceError.self) { try await session.value }
      #expect(error?.errno?.name == "ENOSPC", "\(String(describing: error)), \(error?.errno?.name ?? "-")")
      #expect(names(in: "\(path)/images") == nil)
    }

    /// CRIU's dump begins with memory that processes share, which earlier pre-dumps leave out.
    @Test func `a session builds on earlier images that have any of its objects`() async throws {
      try await withTemporaryDirectory { directory in
        let server = try PageServer(Self.configuration("\(directory)/server"))
        let reports = Reports()
        let serving = Task { try await server.run(PageServer.Sessions()) { reports.add($0) } }
        let port = server.port
        let shared = PageServerObject.sharedMemory(id: 5)
        for objects in [[Self.process], [shared, Self.process]] {
          try await blocking {
            let client = PageServerClient(layout: .bytes32)
            let socket = try Self.connect(port)
            func send(_ bytes: [UInt8]) throws { try socket.send(unsafe bytes.span.bytes) }
            func answer(_ count: Int) throws -> [UInt8] {
              var answer = [UInt8](repeating: 9, count: count)
              var span = answer.mutableSpan
              var room = unsafe span.mutableBytes
              _ = try socket.receiveSome(into: &room)
              return answer
            }
            for object in objects {
              let isKnown = objects.count == 2 && object == Self.process
              try send(client.open(object))
              #expect(try answer(1) == [isKnown ? 1 : 0])
              let flags = isKnown ? PageServerFlags.parent : PageServerFlags.present
              try send(client.pages(of: object, address: 0x5000, pageCount: 1, flags: flags))
              if !isKnown { try send([UInt8](repeating: 3, count: Self.pageSize)) }
            }
            try send(client.close(keepsConnection: false))
            #expect(try answer(4) == [0, 0, 0, 0])
          }
          try await eventually("the session is told of") { reports.all.count == objects.count }
        }
        serving.cancel()
        await #expect(throws: SluiceError.self) { try await serving.value }
        let last = try #require(reports.all.last)
        #expect(last.isComplete && last.pages == 1 && last.parentPages == 1, "\(last)")
        let checked = try await VerifyImages(directory: try #require(last.directory)).run()
        #expect(checked.problems.isEmpty && checked.depth == 2, "\(checked)")
      }
    }

    @Test func `pages that a parent lacks are refused`() async throws {
      try await withTemporaryDirectory { directory in
        let client = PageServerClient(layout: .bytes32)
        for (round, flags) in [(1, PageServerFlags.present), (2, PageServerFlags.parent)] {
          var configuration = Self.configuration("\(directory)/\(round)")
          if round == 2 { configuration.parentDirectory = "\(directory)/1" }
          let server = try PageServer(configuration)
          let session = Task { try await server.runOnce() }
          let port = server.port
          try await blocking {
            let socket = try Self.connect(port)
            func send(_ bytes: [UInt8]) throws { try socket.send(unsafe bytes.span.bytes) }
            try send(client.open(Self.process))
            // The second round leaves one page more than there is.
            try send(
              client.pages(
                of: Self.process, address: 0x5000, pageCount: UInt64(round), flags: flags))
            if round == 1 { try send([UInt8](repeating: 3, count: Self.pageSize)) }
            try? send(client.close(keepsConnection: false))
            var bytes = [UInt8](repeating: 0, count: 5)
            for _ in 0..<5 {
              var span = bytes.mutableSpan
              var room = unsafe span.mutableBytes
              guard (try? socket.receiveSome(into: &room)) ?? 0 > 0 else { break }
              if round == 1 { break }
            }
          }
          if round == 1 {
            #expect(try await session.value.pages == 1)
          } else {
            let error = await #expect(throws: SluiceError.self) { try await session.value }
            #expect(
              error?.message.contains("lacks the page at 0x6000") == true, "\(String(describing: error))")
            #expect(names(in: "\(directory)/2") == nil)
          }
        }
      }
    }
  }
}
