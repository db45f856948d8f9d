import Foundation
import Sluice
import SluiceTestSupport
import Testing

extension StagesTests {
  @Suite("Page server", .timeLimit(.minutes(10)))
  struct PageServerTests {
    /// A server for one session, and the task that it runs in.
    private static func serve(
      _ directory: String, _ change: (inout PageServer.Configuration) -> Void = { _ in }
    ) throws -> (port: UInt16, session: Task<SessionReport, any Error>) {
      var configuration = PageServer.Configuration(directory: directory)
      configuration.address = "127.0.0.1"
      configuration.syncs = false
      change(&configuration)
      let server = try PageServer(configuration)
      return (server.port, Task { try await server.runOnce() })
    }

    private static func client(
      of pid: Int32, into directory: String, port: UInt16
    ) -> PreDump.Configuration {
      var configuration = PreDump.Configuration(pid: pid, imagesDirectory: directory)
      configuration.pageServer = PageServerTarget(.address(host: "127.0.0.1", port: port))
      configuration.syncs = false
      return configuration
    }

    /// Compares what a server has with a process that stands still, once the client's own files are beside it.
    private static func compare(
      _ received: String, of client: String, _ target: MemoryTarget
    ) async throws -> ImageComparison {
      try FileManager.default.copyItem(
        atPath: "\(client)/inventory.img", toPath: "\(received)/inventory.img")
      return try await ImageComparison.run(pid: target.pid, images: received)
    }

    @Test(arguments: PreDumpTests.targets, [PageServerTarget.Layout.automatic, .bytes24, .bytes32])
    func `what arrives is what is there`(options: [String], layout: PageServerTarget.Layout) async throws {
      try await MemoryTarget.run(options) { target in
        try await target.program.stop()
        for budget in [1 << 20, 16 << 20] {
          try await withTemporaryDirectory { directory in
            let (port, session) = try Self.serve("\(directory)/server") { $0.memoryBudget = budget }
            var client = Self.client(of: target.pid, into: "\(directory)/client", port: port)
            client.memoryBudget = budget
            client.pageServer?.layout = layout
            let report = try await PreDump(client).run()
            let received = try await session.value
            #expect(received.pages == report.pagesWritten)
            #expect(received.headerBytes == (layout == .bytes32 ? 32 : 24))
            #expect(received.pagemaps == 1 && received.parentPages == 0 && received.isComplete)
            let comparison = try await Self.compare("\(directory)/server", of: "\(directory)/client", target)
            #expect(comparison.isEqual, "budget \(budget): \(comparison)")
            #expect(comparison.counts["in_images"] == Int(received.pages))
            let (here, there) = (names(in: "\(directory)/client"), names(in: "\(directory)/server"))
            #expect(here?.contains { $0.hasPrefix("pages-") } == false, "\(here ?? [])")
            #expect(there?.contains("session.img") == true, "\(there ?? [])")
            #expect(looksFinished("\(directory)/client"))
          }
        }
        target.program.resume()
        try await target.check()
      }
    }

    @Test func `pages are kept as well where that is wanted`() async throws {
      try await MemoryTarget.run(["--size", "8M"]) { target in
        try await target.program.stop()
        try await withTemporaryDirectory { directory in
          let (port, session) = try Self.serve("\(directory)/server")
          var client = Self.client(of: target.pid, into: "\(directory)/client", port: port)
          client.pageServer?.keepsPages = true
          _ = try await PreDump(client).run()
          _ = try await session.value
          let kept = try await ImageComparison.run(pid: target.pid, images: "\(directory)/client")
          #expect(kept.isEqual, "\(kept)")
          let sent = try await Self.compare("\(directory)/server", of: "\(directory)/client", target)
          #expect(sent.isEqual, "\(sent)")
          for images in ["client", "server"] {
            let checked = try await VerifyImages(directory: "\(directory)/\(images)").run()
            #expect(checked.problems.isEmpty, "\(checked.problems)")
          }
        }
        target.program.resume()
      }
    }

    /// Rounds of a tree, over a server that stays: each session builds on the one before.
    @Test func `rounds go to one server, and the last has the memory of one moment`() async throws {
      try await TreeTarget.run([["--size", "4M"], ["--size", "4M"], ["--size", "4M"]]) { target in
        try await withTemporaryDirectory { directory in
          var configuration = PageServer.Configuration(directory: "\(directory)/server")
          configuration.address = "127.0.0.1"
          configuration.syncs = false
          let server = try PageServer(configuration)
          let reports = Reports()
          let serving = Task { try await server.run(PageServer.Sessions()) { reports.add($0) } }
          var policy = RoundPolicy()
          policy.rounds = 4
          policy.untilPages = 0
          policy.untilSkippedPercent = 100
          var client = Self.client(of: target.pid, into: "\(directory)/client", port: server.port)
          client.tracker = .content
          let rounds = try await withPreDumpRounds(client, policy: policy, lastRound: .resumes) { rounds in
            var count = 0
            for try await _ in rounds { count += 1 }
            return count
          }
          try await eventually("all sessions are told of") { reports.all.count == rounds }
          serving.cancel()
          await #expect(throws: SluiceError.self) { try await serving.value }
          let all = reports.all.sorted { $0.number < $1.number }
          #expect(all.allSatisfy { $0.isComplete && $0.pagemaps == 4 }, "\(all)")
          #expect(all.dropFirst().allSatisfy { $0.parentPages > 0 && $0.parentDirectory != nil }, "\(all)")
          let newest = try #require(all.last?.directory)
          let checked = try await VerifyImages(directory: newest).run()
          #expect(checked.problems.isEmpty && checked.depth == rounds, "\(checked)")
          // What the server has is a chain like any other.
          _ = try await FlattenImages(directory: newest, output: "\(directory)/flat").run()
          #expect(try await VerifyImages(directory: "\(directory)/flat").run().problems.isEmpty)
          _ = try await DedupImages(directory: newest).run()
          #expect(try await VerifyImages(directory: newest).run().problems.isEmpty)
        }
      }
    }

    /// The session before the one that was taken away lacks what has changed between the two.
    @Test func `a session does not build on images older than those that were taken away`() async throws {
      try await MemoryTarget.run(["--size", "4M"]) { target in
        try await withTemporaryDirectory { directory in
          var configuration = PageServer.Configuration(directory: "\(directory)/server")
          configuration.address = "127.0.0.1"
          configuration.syncs = false
          let server = try PageServer(configuration)
          let reports = Reports()
          let serving = Task { try await server.run(PageServer.Sessions()) { reports.add($0) } }
          for round in 1...4 {
            var client = Self.client(
              of: target.pid, into: "\(directory)/client-\(round)", port: server.port)
            client.tracker = .content
            if round > 1 { client.parentDirectory = "\(directory)/client-\(round - 1)" }
            _ = try await PreDump(client).run()
            try await eventually("the session is told of") { reports.all.count == round }
            guard round == 2 else { continue }
            try FileManager.default.removeItem(atPath: try #require(reports.all.last?.directory))
          }
          serving.cancel()
          _ = try? await serving.value
          let all = reports.all
          #expect(all.map { $0.parentPages > 0 } == [false, true, false, true], "\(all)")
          #expect(all[2].parentDirectory == nil && all[3].parentDirectory == all[2].directory, "\(all)")
        }
      }
    }

    @Test func `a server without the round before has everything sent, and it is said`() async throws {
      try await MemoryTarget.run(["--size", "4M"]) { target in
        try await withTemporaryDirectory { directory in
          var policy = RoundPolicy()
          policy.rounds = 2
          policy.untilPages = 0
          policy.untilSkippedPercent = 100
          // The directory of the second session is that of the first, whose server was told of no earlier images.
          let (port, session) = try Self.serve("\(directory)/1")
          var client = Self.client(of: target.pid, into: "\(directory)/client-1", port: port)
          client.tracker = .content
          let first = try await PreDump(client).run()
          _ = try await session.value
          let (second, later) = try Self.serve("\(directory)/2")
          client = Self.client(of: target.pid, into: "\(directory)/client-2", port: second)
          client.parentDirectory = "\(directory)/client-1"
          client.tracker = .content
          let log = RecordedLog()
          client.logger = log.logger
          let report = try await PreDump(client).run()
          #expect(report.pagesWritten >= first.pagesWritten - 64)
          #expect(try await later.value.parentPages == 0)
          #expect(log.lines.contains { $0.contains("has no earlier images") }, "\(log.lines)")
        }
      }
    }

    @Test func `one connection does for all rounds`() async throws {
      try await MemoryTarget.run(["--size", "4M", "--write-rate", "100"]) { target in
        try await withTemporaryDirectory { directory in
          let (ours, theirs) = try connectedSockets()
          defer { for socket in [ours, theirs] { close(socket) } }
          var parent: String?
          for round in 1...3 {
            var configuration = PageServer.Configuration(directory: "\(directory)/server/\(round)")
            configuration.parentDirectory = parent.map { "\(directory)/server/\($0)" }
            try FileManager.default.createDirectory(
              atPath: "\(directory)/server", withIntermediateDirectories: true)
            let server = try PageServer(configuration, connection: dup(theirs))
            let session = Task { try await server.runOnce() }
            var client = PreDump.Configuration(
              pid: target.pid, imagesDirectory: "\(directory)/client-\(round)")
            client.parentDirectory = parent.map { "\(directory)/client-\($0)" }
            client.pageServer = PageServerTarget(.connection(descriptor: ours))
            client.tracker = .content
            _ = try await PreDump(client).run()
            let report = try await session.value
            #expect(report.isComplete && report.client == "local")
            // Others may use it, too, and wait in it.
            #expect([ours, theirs].allSatisfy { fcntl($0, F_GETFL) & O_NONBLOCK == 0 })
            if round == 3 { #expect(report.parentPages > 0) }
            parent = "\(round)"
          }
        }
      }
    }

    /// The client's server goes in the middle of a round that builds on another.
    @Test func `a server that vanishes harms neither the process nor the round before`() async throws {
      try await MemoryTarget.run(["--size", "64M"]) { target in
        try await withTemporaryDirectory { directory in
          let (port, session) = try Self.serve("\(directory)/1")
          var client = Self.client(of: target.pid, into: "\(directory)/client-1", port: port)
          client.tracker = .content
          _ = try await PreDump(client).run()
          _ = try await session.value
          let peer = try RawServer()
          let vanishing = Task.detached { try peer.takeSome(answers: [1, 0, 0, 0], thenTakes: 3 << 20) }
          client = Self.client(of: target.pid, into: "\(directory)/client-2", port: peer.port)
          client.tracker = .none
          let configuration = client
          let error = await #expect(throws: SluiceError.self) { try await PreDump(configuration).run() }
          #expect(error?.code == .io, "\(String(describing: error))")
          #expect(error?.message.contains("127.0.0.1:\(peer.port)") == true, "\(String(describing: error))")
          try await vanishing.value
          #expect(looksFinished("\(directory)/client-1") && !looksFinished("\(directory)/client-2"))
        }
        try await target.check()
      }
    }

    @Test func `a server that takes nothing is given up, and a run can be cancelled meanwhile`() async throws
    {
      try await MemoryTarget.run(["--size", "64M"]) { target in
        try await withTemporaryDirectory { directory in
          let peer = try RawServer()
          let stalling = Task.detached {
            try peer.takeSome(answers: [0, 0, 0, 0], thenTakes: 1 << 20, stays: true)
          }
          var client = Self.client(of: target.pid, into: "\(directory)/1", port: peer.port)
          client.pageServer?.idleTimeLimit = .milliseconds(300)
          let patient = client
          let error = await #expect(throws: SluiceError.self) { try await PreDump(patient).run() }
          #expect(error?.code == .io && error?.errno?.name == "ETIMEDOUT", "\(String(describing: error))")
          peer.end()
          try? await stalling.value
          // The connection's end, by which the cancellation wakes the sender, must not be what the run says it failed of.
          for attempt in 1...20 {
            let other = try RawServer()
            let holding = Task.detached {
              try other.takeSome(answers: [0, 0, 0, 0], thenTakes: 1 << 20, stays: true)
            }
            let cancelled = Self.client(
              of: target.pid, into: "\(directory)/cancelled-\(attempt)", port: other.port)
            let run = Task { try await PreDump(cancelled).run() }
            try await eventually("pages are sent") { other.hasBegun }
            run.cancel()
            let cancellation = await #expect(throws: SluiceError.self) { try await run.value }
            #expect(cancellation?.code == .cancelled, "\(String(describing: cancellation))")
            other.end()
            try? await holding.value
          }
        }
        try await target.check()
      }
    }

    @Test func `many sessions at once share one budget`() async throws {
      try await MemoryTarget.run(["--size", "8M"]) { target in
        try await target.program.stop()
        try await withTemporaryDirectory { directory in
          var configuration = PageServer.Configuration(directory: "\(directory)/server")
          configuration.address = "127.0.0.1"
          configuration.syncs = false
          configuration.memoryBudget = 16 << 20
          let server = try PageServer(configuration)
          let reports = Reports()
          let serving = Task { try await server.run(PageServer.Sessions()) { reports.add($0) } }
          try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 1...12 {
              group.addTask {
                var client = Self.client(
                  of: target.pid, into: "\(directory)/client-\(number)", port: server.port)
                client.memoryBudget = 1 << 20
                client.tracker = .none
                _ = try await PreDump(client).run()
              }
            }
            try await group.waitForAll()
          }
          try await eventually("all sessions are told of") { reports.all.count == 12 }
          serving.cancel()
          _ = try? await serving.value
          for report in reports.all {
            let images = try #require(report.directory)
            let comparison = try await Self.compare(images, of: "\(directory)/client-1", target)
            #expect(comparison.isEqual, "\(images): \(comparison)")
          }
        }
        target.program.resume()
      }
    }
  }
}
