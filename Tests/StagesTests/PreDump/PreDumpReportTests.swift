import Foundation
import Sluice
import SluiceTestSupport
import Testing

extension StagesTests {
  @Suite("Pre-dump report")
  struct PreDumpReportTests {
    private static func encode(_ report: PreDumpReport) throws -> Data {
      let encoder = JSONEncoder()
      encoder.outputFormatting = .sortedKeys
      return try encoder.encode(report)
    }

    @Test func addsUp() async throws {
      try await MemoryTarget.run(["--size", "16M", "--vmas", "50", "--odd"]) { target in
        try await target.program.stop()
        try await withTemporaryDirectory { directory in
          var configuration = PreDump.Configuration(pid: target.pid, imagesDirectory: directory)
          configuration.memoryBudget = 2 << 20
          let clock = ContinuousClock()
          let began = clock.now
          let report = try await PreDump(configuration).run()
          let took = clock.now - began

          #expect(report.pid == target.pid)
          #expect(report.namespacePid == target.pid)
          #expect(report.imagesDirectory == directory)
          #expect(report.memoryBudget == 2 << 20)
          #expect(report.pageSize == ProcessMemory.pageSize)
          #expect(report.pagesWritten > 16 << 20 / report.pageSize)
          #expect(report.pagesScanned == report.pagesWritten + report.pagesVanished)
          #expect(report.pagesVanished == 0, "a process that stands still loses nothing")
          #expect(report.pagesSkippedParent == 0)
          #expect(report.bytesWritten == report.pagesWritten * report.pageSize)
          #expect(fileSize("\(directory)/pages-1.img") == Int(report.bytesWritten))
          #expect(report.pagesForced >= 64, "--odd has 64 pages that the process may not read")
          #expect(report.pagesForced <= report.pagesWritten)
          #expect(report.frozen == .zero)
          #expect(report.duration > .zero)
          #expect(report.duration <= took)
          #expect(report.clearTime <= report.duration)

          // As another program would read it, and write it again.
          let encoded = try Self.encode(report)
          let read = try JSONDecoder().decode(PreDumpReport.self, from: encoded)
          #expect(try Self.encode(read) == encoded)
          #expect(
            read.duration == report.duration && read.stop == report.stop && read.stalls == report.stalls)
          #expect(read.processesSkipped == report.processesSkipped)
          let text = String(decoding: encoded, as: UTF8.self)
          #expect(text.contains("\"duration_us\":\(report.duration / .microseconds(1))".dropLast(2)))
          #expect(report.buffersBytes > 0)
          #expect(report.buffersBytes < 2 << 20)

          let lines = try ProcessMemory.mappings(of: target.pid)
          #expect(report.mappings == lines.count)
          let shared = lines.count { $0.permissions.hasSuffix("s") }
          #expect(report.mappingsSkipped["shared"] == shared)
          let kernel = lines.count { ["[vvar]", "[vvar_vclock]", "[vsyscall]"].contains($0.name) }
          #expect(report.mappingsSkipped["kernel"] == kernel)
          #expect(report.mappingsSkipped.count == 2)
        }
      }
    }

    @Test func namesTheTrackerThatThisKernelHas() async throws {
      try await MappingTarget.run { target in
        let works = try await target.tell("soft-dirty") == 1
        try await withTemporaryDirectory { directory in
          let report = try await PreDump(.init(pid: target.pid, imagesDirectory: directory)).run()
          #expect(report.tracker == (works ? .softDirty : .nothing))
        }
      }
    }

    /// The process unmaps what is about to be read: what is missing is counted, and is not in the images.
    @Test func countsWhatVanished() async throws {
      try await MappingTarget.run { target in
        // Large enough that the walk is still going on while the process unmaps.
        let pages = 96 << 10
        let start = try await target.map(pages: pages)
        try await withTemporaryDirectory { directory in
          let images = "\(directory)/images"
          var configuration = PreDump.Configuration(pid: target.pid, imagesDirectory: images)
          configuration.memoryBudget = 1 << 20
          let run = Task { try await PreDump(configuration).run() }
          try await eventually("the pages file is made") { names(in: images)?.isEmpty == false }
          for index in stride(from: 0, to: pages, by: 512) {
            try await target.tell("unmap \(hexadecimal(start + UInt64(index) * ProcessMemory.pageSize)) 256")
          }
          let report = try await run.value
          #expect(report.pagesScanned == report.pagesWritten + report.pagesVanished)
          #expect(fileSize("\(images)/pages-1.img") == Int(report.bytesWritten))
          let summary = try await ImagesSummary(path: images)
          #expect(summary.processes.first?.pagesPresent == report.pagesWritten)
        }
      }
    }
  }
}
