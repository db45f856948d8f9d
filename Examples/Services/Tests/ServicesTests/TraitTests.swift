import CoreMetrics
import Foundation
import InMemoryTracing
import MetricsTestKit
import ServiceLifecycleTestKit
import Sluice
import Testing
import Tracing

/// What the traits `Metrics`, `Tracing` and `ServiceLifecycle` bring, upon a process that sleeps.
@Suite(.timeLimit(.minutes(2))) struct TraitTests {
  private static func withSleeper<Result>(_ body: (Int32, String) async throws -> Result) async throws
    -> Result
  {
    let process = Process()
    process.executableURL = URL(filePath: "/bin/sleep")
    process.arguments = ["600"]
    try process.run()
    let directory = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString).path
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    defer {
      // A child of a pool's thread has that thread's signals blocked, SIGTERM among them.
      kill(process.processIdentifier, SIGKILL)
      process.waitUntilExit()
      try? FileManager.default.removeItem(atPath: directory)
    }
    // Until it is the program that it is to be.
    try await Task.sleep(for: .milliseconds(300))
    return try await body(process.processIdentifier, directory)
  }

  @Test func `metrics have the figures of the report`() async throws {
    try await Self.withSleeper { pid, directory in
      let metrics = TestMetrics()
      var configuration = PreDump.Configuration(pid: pid, imagesDirectory: "\(directory)/1")
      configuration.observer = MetricsObserver(prefix: "dump", factory: metrics)
      let report = try await PreDump(configuration).run()
      #expect(report.pagesWritten > 0)
      let copied = try metrics.expectCounter("dump_pages", [("kind", "copied")])
      #expect(copied.totalValue == Int64(report.pagesWritten))
      let runs = try metrics.expectCounter("dump_spans", [("kind", "run"), ("outcome", "ok")])
      #expect(runs.totalValue == 1)
      #expect(try metrics.expectTimer("dump_read").values.count > 0)
      #expect(try metrics.expectTimer("dump_stop").values.isEmpty)
      let active = try metrics.expectMeter("dump_active", [("kind", "run")])
      #expect(active.values == [1, 0])
      let buffers = try metrics.expectMeter("dump_budget_bytes", [("part", "buffers")])
      #expect(buffers.values.count == 2 && buffers.values[0] > 1e6 && buffers.values[1] == 0)
    }
  }

  @Test func `spans are parts of each other, and of the caller's`() async throws {
    try await Self.withSleeper { pid, directory in
      let tracer = InMemoryTracer()
      var configuration = PreDump.Configuration(pid: pid, imagesDirectory: "\(directory)/1")
      configuration.observer = TracingObserver(tracer: tracer)
      let report = try await tracer.withSpan("caller") { _ in try await PreDump(configuration).run() }
      let spans = tracer.finishedSpans
      #expect(spans.map(\.operationName) == ["sluice.publish", "sluice.round", "sluice.run", "caller"])
      for (part, whole) in zip(spans, spans.dropFirst()) {
        #expect(part.parentSpanID == whole.spanID && part.traceID == whole.traceID)
        #expect(part.startInstant.nanosecondsSinceEpoch >= whole.startInstant.nanosecondsSinceEpoch)
        #expect(part.endInstant.nanosecondsSinceEpoch <= whole.endInstant.nanosecondsSinceEpoch)
      }
      #expect(spans[1].attributes.get("sluice.pages.copied") == .int64(Int64(report.pagesWritten)))
      #expect(spans.allSatisfy { $0.errors.isEmpty })

      configuration.imagesDirectory = "\(directory)/1"
      tracer.clearFinishedSpans()
      await #expect(throws: SluiceError.self) { try await PreDump(configuration).run() }
      let failed = tracer.finishedSpans
      #expect(failed.map(\.operationName) == ["sluice.round", "sluice.run"])
      #expect(failed.allSatisfy { $0.errors.count == 1 && $0.status?.code == .error })
    }
  }

  @Test func `a page server ends with its group`() async throws {
    try await Self.withSleeper { pid, directory in
      var configuration = PageServer.Configuration(directory: "\(directory)/server")
      configuration.address = "127.0.0.1"
      let server = try PageServer(configuration)
      var client = PreDump.Configuration(pid: pid, imagesDirectory: "\(directory)/client")
      client.pageServer = PageServerTarget(.address(host: "127.0.0.1", port: server.port))
      try await testGracefulShutdown { trigger in
        async let serving: Void = PageServerService(server).run()
        let report = try await PreDump(client).run()
        #expect(report.pagesWritten > 0)
        trigger.triggerGracefulShutdown()
        // In order is no failure.
        try await serving
      }
    }
  }

  @Test func `rounds end with their group`() async throws {
    try await Self.withSleeper { pid, directory in
      var policy = RoundPolicy()
      (policy.rounds, policy.untilPages, policy.untilSkippedPercent) = (1_000_000, 0, 100.5)
      let configuration = PreDump.Configuration(pid: pid, imagesDirectory: "\(directory)/rounds")
      try await testGracefulShutdown { trigger in
        let service = PreDumpRoundsService(configuration, policy: policy) { report in
          if report.imagesDirectory.hasSuffix("/3") { trigger.triggerGracefulShutdown() }
        }
        try await service.run()
      }
      #expect(FileManager.default.fileExists(atPath: "\(directory)/rounds/3/inventory.img"))
    }
  }
}
