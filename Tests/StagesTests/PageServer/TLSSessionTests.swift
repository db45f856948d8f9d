import Foundation
import Sluice
import SluiceTestSupport
import Testing

extension StagesTests {
  /// Sessions that are encrypted.
  @Suite("Page server over TLS", .timeLimit(.minutes(10)), .needsTLS)
  struct TLSSessionTests {
    /// The files of both sides: the authority that both trust, and certificates for 127.0.0.1.
    private struct Files {
      let server: PageServerTLS
      let client: PageServerTLS
      /// By an authority that nobody trusts; it trusts the first.
      let stranger: PageServerTLS
      /// For another address than 127.0.0.1.
      let elsewhere: PageServerTLS

      init(in directory: String) async throws {
        let authority = try await Authority("authority", in: directory)
        let other = try await Authority("other", in: directory)
        func files(
          _ name: String, by signer: Authority, for owners: String = "IP:127.0.0.1"
        ) async throws -> PageServerTLS {
          let made = try await signer.issue(name, subject: "/O=Test/CN=\(name)", owners: owners)
          var files = PageServerTLS()
          files.authorities = authority.certificate
          (files.certificate, files.key) = (made.certificate, made.key)
          return files
        }
        server = try await files("server", by: authority)
        client = try await files("client", by: authority)
        stranger = try await files("stranger", by: other)
        elsewhere = try await files("elsewhere", by: authority, for: "IP:192.0.2.1")
      }
    }

    private static func serverConfiguration(
      _ directory: String, _ tls: PageServerTLS?
    ) -> PageServer.Configuration {
      var configuration = PageServer.Configuration(directory: directory)
      // Who is refused ends the server, which tells why.
      configuration.endsWithFirstClient = true
      configuration.address = "127.0.0.1"
      configuration.syncs = false
      configuration.tls = tls
      return configuration
    }

    private static func client(
      of pid: Int32, into directory: String, port: UInt16, _ tls: PageServerTLS?,
      layout: PageServerTarget.Layout = .bytes32
    ) -> PreDump.Configuration {
      var configuration = PreDump.Configuration(pid: pid, imagesDirectory: directory)
      configuration.pageServer = PageServerTarget(.address(host: "127.0.0.1", port: port))
      configuration.pageServer?.tls = tls
      configuration.pageServer?.layout = layout
      configuration.syncs = false
      return configuration
    }

    @Test(arguments: [PageServerTarget.Layout.bytes24, .bytes32])
    func `what arrives is what is there`(layout: PageServerTarget.Layout) async throws {
      try await MemoryTarget.run(["--size", "16M"]) { target in
        try await target.program.stop()
        try await withTemporaryDirectory { directory in
          let files = try await Files(in: directory)
          let server = try PageServer(Self.serverConfiguration("\(directory)/server", files.server))
          let session = Task { try await server.runOnce() }
          let report = try await PreDump(
            Self.client(
              of: target.pid, into: "\(directory)/client", port: server.port, files.client, layout: layout)
          ).run()
          let received = try await session.value
          #expect(received.pages == report.pagesWritten && received.isComplete)
          #expect(received.headerBytes == (layout == .bytes24 ? 24 : 32))
          #expect(received.clientName == "client")
          try FileManager.default.copyItem(
            atPath: "\(directory)/client/inventory.img", toPath: "\(directory)/server/inventory.img")
          let comparison = try await ImageComparison.run(pid: target.pid, images: "\(directory)/server")
          #expect(comparison.isEqual, "\(comparison)")
          #expect(comparison.counts["in_images"] == Int(received.pages))
        }
        target.program.resume()
        try await target.check()
      }
    }

    @Test func `a server that stays knows its clients by their certificates`() async throws {
      try await MemoryTarget.run(["--size", "4M"]) { target in
        try await withTemporaryDirectory { directory in
          let files = try await Files(in: directory)
          let server = try PageServer(Self.serverConfiguration("\(directory)/server", files.server))
          let reports = Reports()
          let serving = Task { try await server.run(PageServer.Sessions()) { reports.add($0) } }
          // It has no address that it could hold a client's certificate against.
          for (number, tls) in [files.client, files.elsewhere, files.client].enumerated() {
            var client = Self.client(
              of: target.pid, into: "\(directory)/client-\(number)", port: server.port, tls)
            client.tracker = .content
            if number == 2 { client.parentDirectory = "\(directory)/client-0" }
            _ = try await PreDump(client).run()
          }
          try await eventually("all sessions are told of") { reports.all.count == 3 }
          serving.cancel()
          _ = try? await serving.value
          let all = reports.all.sorted { $0.number < $1.number }
          #expect(all.map(\.clientName) == ["client", "elsewhere", "client"])
          #expect(
            all.map(\.directory)
              == ["client-1", "elsewhere-1", "client-2"].map { "\(directory)/server/\($0)" })
          #expect(all.map(\.parentDirectory) == [nil, nil, "\(directory)/server/client-1"])
          #expect((all.last?.parentPages ?? 0) > 0)
        }
      }
    }

    /// Who is not trusted.
    enum Untrusted: CaseIterable, Sendable {
      case strangeClient, strangeServer, clientOfAnotherAddress, serverOfAnotherAddress, plainClient

      /// A part of what the server says, and of what the client says.
      var reasons: (server: String, client: String) {
        switch self {
        case .strangeClient: ("certificate", "127.0.0.1")
        case .strangeServer: ("127.0.0.1", "certificate")
        case .clientOfAnotherAddress: ("does not match", "127.0.0.1")
        case .serverOfAnotherAddress: ("127.0.0.1", "does not match")
        case .plainClient: ("TLS", "127.0.0.1")
        }
      }
    }

    @Test(arguments: Untrusted.allCases)
    func `whoever is not trusted is let in nowhere, and both sides say so`(
      untrusted: Untrusted
    ) async throws {
      try await MemoryTarget.run(["--size", "1M"]) { target in
        try await withTemporaryDirectory { directory in
          let files = try await Files(in: directory)
          var (ours, theirs): (PageServerTLS, PageServerTLS?) = (files.server, files.client)
          switch untrusted {
          case .strangeClient: theirs = files.stranger
          case .strangeServer: ours = files.stranger
          case .clientOfAnotherAddress: theirs = files.elsewhere
          case .serverOfAnotherAddress: ours = files.elsewhere
          case .plainClient: theirs = nil
          }
          let server = try PageServer(Self.serverConfiguration("\(directory)/server", ours))
          let session = Task { try await server.runOnce() }
          let client = Self.client(of: target.pid, into: "\(directory)/client", port: server.port, theirs)
          let sent = await #expect(throws: SluiceError.self) { try await PreDump(client).run() }
          let received = await #expect(throws: SluiceError.self) { try await session.value }
          let reasons = untrusted.reasons
          #expect(sent?.message.contains(reasons.client) == true, "\(String(describing: sent))")
          #expect(received?.message.contains(reasons.server) == true, "\(String(describing: received))")
          switch untrusted {
          case .strangeClient, .clientOfAnotherAddress: #expect(received?.code == .notPermitted)
          case .strangeServer, .serverOfAnotherAddress: #expect(sent?.code == .notPermitted)
          case .plainClient: #expect(received?.code == .io && sent?.code == .io)
          }
          #expect(names(in: "\(directory)/server") == nil)
          #expect(!looksFinished("\(directory)/client"))
        }
        try await target.check()
      }
    }

    @Test func `names are not looked at where that is not wanted`() async throws {
      try await MemoryTarget.run(["--size", "1M"]) { target in
        try await withTemporaryDirectory { directory in
          let files = try await Files(in: directory)
          var (ours, theirs) = (files.elsewhere, files.elsewhere)
          (ours.verifiesName, theirs.verifiesName) = (false, false)
          let server = try PageServer(Self.serverConfiguration("\(directory)/server", ours))
          let session = Task { try await server.runOnce() }
          _ = try await PreDump(
            Self.client(of: target.pid, into: "\(directory)/client", port: server.port, theirs)
          ).run()
          #expect(try await session.value.isComplete)
        }
      }
    }

    @Test func `the layout is to be said, and files that cannot be read are told of`() async throws {
      try await withTemporaryDirectory { directory in
        let files = try await Files(in: directory)
        let undecided = Self.client(
          of: getpid(), into: "\(directory)/client", port: 9, files.client, layout: .automatic)
        let error = await #expect(throws: SluiceError.self) { try await PreDump(undecided).run() }
        #expect(error?.code == .invalidArgument && error?.message.contains("layout") == true)
        var missing = files.server
        missing.key = "\(directory)/nowhere.key"
        let failure = #expect(throws: SluiceError.self) {
          try PageServer(Self.serverConfiguration("\(directory)/server", missing))
        }
        #expect(failure?.code == .notFound && failure?.message.contains("nowhere.key") == true)
      }
    }
  }
}
