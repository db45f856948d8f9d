import Foundation
import Sluice
import SluiceTestSupport
import Testing

extension StagesTests {
  @Suite("Pre-dump")
  struct PreDumpTests {
    /// What there is to copy, as memory-target's options say it.
    static let targets = [
      ["--size", "48M"],
      ["--size", "48M", "--layout", "alternate"],
      ["--size", "32M", "--huge-pages", "yes"],
      ["--size", "4M", "--vmas", "2000"],
      ["--size", "4M", "--odd"],
      ["--size", "4M", "--sparse", "16G", "--sparse-pages", "500"],
    ]
    static let pageStates: [PreDump.Configuration.PageStates] =
      Kernel.isAtLeast(6, 7) ? [.pagemapScan, .pagemap] : [.pagemap]

    @Test(arguments: targets, pageStates)
    func copiesExactlyWhatIsThere(
      options: [String], pageStates: PreDump.Configuration.PageStates
    ) async throws {
      try await MemoryTarget.run(options) { target in
        try await target.program.stop()
        for budget in [1 << 20, 16 << 20] {
          try await withTemporaryDirectory { directory in
            var configuration = PreDump.Configuration(
              pid: target.pid, imagesDirectory: "\(directory)/images")
            configuration.pageStates = pageStates
            configuration.memoryBudget = budget
            let report = try await PreDump(configuration).run()
            let comparison = try await ImageComparison.run(
              pid: target.pid, images: configuration.imagesDirectory)
            #expect(comparison.isEqual, "budget \(budget): \(comparison)")
            #expect(comparison.counts["in_images"] == Int(report.pagesWritten))
            #expect(report.buffersBytes <= budget)
          }
        }
        target.program.resume()
        try await target.check()
      }
    }

    /// The ways that pages can take through the pipeline; the first is the usual one.
    static let ways: [Way] = [
      Way(), Way { $0.readers = 3 }, Way { $0.io = .direct }, Way { $0.io = .buffered },
      Way { $0.io = .cached },
      Way { $0.writeEngine = .threads }, Way { $0.registersBuffers = false }, Way { $0.queueDepth = 1 },
      Way { $0.syncs = false },
      Way {
        $0.readers = 4
        $0.io = .buffered
        $0.writeEngine = .threads
        $0.queueDepth = 2
        $0.memoryBudget = 1 << 20
      },
    ]

    @Test(arguments: ways)
    func copiesTheSameInEveryWay(way: Way) async throws {
      try await MemoryTarget.run(["--size", "24M", "--layout", "alternate", "--odd"]) { target in
        try await target.program.stop()
        try await withTemporaryDirectory { directory in
          var configuration = PreDump.Configuration(pid: target.pid, imagesDirectory: directory)
          way.choose(&configuration)
          let report = try await PreDump(configuration).run()
          let comparison = try await ImageComparison.run(pid: target.pid, images: directory)
          #expect(comparison.isEqual, "\(comparison)")
          #expect(comparison.counts["in_images"] == Int(report.pagesWritten))
        }
      }
      try await expectNoThreads()
    }

    @Test func `cached images stay in memory, and buffered ones do not`() async throws {
      try await MemoryTarget.run(["--size", "24M"]) { target in
        for io in [PreDump.Configuration.IO.cached, .buffered] {
          try await withTemporaryDirectory { directory in
            var configuration = PreDump.Configuration(pid: target.pid, imagesDirectory: directory)
            configuration.io = io
            _ = try await PreDump(configuration).run()
            let share = try Self.cachedShare(of: "\(directory)/pages-1.img")
            // A tmpfs has nowhere else to keep them.
            let isInMemory = try await Filesystem.isInMemory(directory)
            let isExpected = io == .cached ? share > 0.9 : share < 0.1 || isInMemory
            #expect(isExpected, "\(io): \(share)")
          }
        }
      }
    }

    /// The share of a file's pages that are in memory (mincore).
    private static func cachedShare(of path: String) throws -> Double {
      let file = unsafe open(path, O_RDONLY | O_CLOEXEC)
      guard file >= 0 else { throw TestFailure("opening \(path): errno \(errno)") }
      defer { close(file) }
      let size = Int(lseek(file, 0, SEEK_END))
      guard let map = unsafe mmap(nil, size, PROT_READ, MAP_SHARED, file, 0), unsafe map != MAP_FAILED
      else {
        throw TestFailure("mapping \(path): errno \(errno)")
      }
      defer { unsafe munmap(map, size) }
      var pages = [UInt8](repeating: 0, count: (size + 4095) / 4096)
      guard unsafe mincore(map, size, &pages) == 0 else { throw TestFailure("mincore: errno \(errno)") }
      return Double(pages.count { $0 & 1 != 0 }) / Double(pages.count)
    }

    @Test func doesNotHarmAProcessThatGoesOn() async throws {
      try await MemoryTarget.run(["--size", "64M", "--write-rate", "max", "--odd"]) { target in
        for _ in 0..<5 {
          try await withTemporaryDirectory { directory in
            let images = "\(directory)/images"
            _ = try await PreDump(.init(pid: target.pid, imagesDirectory: images)).run()
            #expect(looksFinished(images))
          }
          try await target.check()
        }
      }
      try await expectNoThreads()
    }

    @Test func usesADirectoryThatIsThereAndKeepsWhatIsInIt() async throws {
      try await MemoryTarget.run(["--size", "1M"]) { target in
        try await withTemporaryDirectory { directory in
          try "note".write(toFile: "\(directory)/note", atomically: true, encoding: .utf8)
          _ = try await PreDump(.init(pid: target.pid, imagesDirectory: directory)).run()
          #expect(
            names(in: directory) == [
              "inventory.img", "note", "pagemap-\(target.pid).img", "pages-1.img", "stats-dump",
            ])
        }
      }
    }

    @Test func refusesADirectoryThatHoldsImages() async throws {
      try await MemoryTarget.run(["--size", "1M"]) { target in
        try await withTemporaryDirectory { directory in
          let configuration = PreDump.Configuration(pid: target.pid, imagesDirectory: directory)
          _ = try await PreDump(configuration).run()
          let before = try contents(directory)
          let error = await failure(configuration)
          #expect(error?.code == .cannotCreate)
          #expect(error?.message.contains("already holds images") == true)
          #expect(try contents(directory) == before, "they are as they were")
        }
      }
      try await expectNoThreads()
    }

    /// What an interrupted run has left is taken away, and is in nobody's way.
    @Test func usesADirectoryThatAnInterruptedRunHasLeft() async throws {
      try await MemoryTarget.run(["--size", "1M"]) { target in
        try await target.program.stop()
        try await withTemporaryDirectory { directory in
          for name in ["pages-1.img.partial", "pagemap-77.img.partial", "inventory.img.partial"] {
            try "rest".write(toFile: "\(directory)/\(name)", atomically: true, encoding: .utf8)
          }
          _ = try await PreDump(.init(pid: target.pid, imagesDirectory: directory)).run()
          #expect(names(in: directory)?.contains(where: { $0.hasSuffix(".partial") }) == false)
          let comparison = try await ImageComparison.run(pid: target.pid, images: directory)
          #expect(comparison.isEqual, "\(comparison)")
        }
      }
    }

    /// CRIU names images by the pid that the process sees itself.
    @Test(.needsRoot) func namesImagesByThePidInTheProcessesOwnNamespace() async throws {
      let target = try Command.builtPath("memory-target")
      let arguments = ["--pid", "--fork", "--kill-child", target, "--size", "1M", "--seconds", "600"]
      var command = try Command(installed: "unshare", arguments)
      command.output = .lines
      try await withProgram(command) { program in
        #expect(try await program.nextLine() == "ready pid=1")
        let children = "/proc/\(program.pid)/task/\(program.pid)/children"
        let text = try String(contentsOfFile: children, encoding: .utf8)
        let pid = try #require(text.split(separator: " ").first.flatMap { Int32($0) })
        try await withTemporaryDirectory { directory in
          let report = try await PreDump(.init(pid: pid, imagesDirectory: directory)).run()
          #expect(report.pid == pid)
          #expect(report.namespacePid == 1)
          #expect(names(in: directory)?.contains("pagemap-1.img") == true)
        }
      }
    }

    /// As whom CRIU reads them when it restores the process.
    @Test(.needsRoot) func givesImagesToTheFirstUserOfTheProcessesUserNamespace() async throws {
      let target = try Command.builtPath("memory-target")
      var command = try Command(
        installed: "unshare", ["--user", target, "--size", "1M", "--seconds", "600"])
      command.output = .lines
      try await withProgram(command) { program in
        #expect(try await program.nextLine() == "ready pid=\(program.pid)")
        try await withTemporaryDirectory { directory in
          func owners(_ name: String) throws -> [UInt32] {
            var status = stat()
            try #require(unsafe lstat("\(directory)/\(name)", &status) == 0)
            return [status.st_uid, status.st_gid]
          }
          func preDump(_ name: String) async throws {
            let path = "\(directory)/\(name)"
            _ = try await PreDump(.init(pid: program.pid, imagesDirectory: path)).run()
          }
          // Nobody is the first user yet.
          try await preDump("1")
          #expect(try owners("1/inventory.img") == [geteuid(), getegid()])
          for (map, outside) in [("uid_map", 70_000), ("gid_map", 80_000)] {
            try Data("0 \(outside) 1000".utf8).write(to: URL(fileURLWithPath: "/proc/\(program.pid)/\(map)"))
          }
          try await preDump("2")
          #expect(try owners("2") == [70_000, 80_000])
          let made = try #require(names(in: "\(directory)/2"))
          #expect(made.count >= 4)
          for name in made { #expect(try owners("2/\(name)") == [70_000, 80_000], "\(name)") }
          // A directory that is somebody's already stays so.
          try FileManager.default.createDirectory(
            atPath: "\(directory)/3", withIntermediateDirectories: false)
          try await preDump("3")
          #expect(try owners("3") == [geteuid(), getegid()])
          #expect(try owners("3/inventory.img") == [70_000, 80_000])
        }
      }
    }

    // MARK: What cannot be done

    @Test func refusesWhatCannotBeMeant() async throws {
      try await withTemporaryDirectory { directory in
        let images = "\(directory)/images"
        let itself = await failure(.init(pid: getpid(), imagesDirectory: images))
        #expect(itself?.code == .invalidArgument)
        let nobody = await failure(.init(pid: 1 << 22, imagesDirectory: images))
        #expect(nobody?.code == .notFound)
        try await MappingTarget.run { target in
          var small = PreDump.Configuration(pid: target.pid, imagesDirectory: images)
          small.memoryBudget = 100_000
          let tooSmall = await failure(small)
          #expect(tooSmall?.code == .invalidArgument)
          let named = try #require(
            tooSmall?.message.split(separator: " ").last.flatMap { Int($0.dropLast()) })
          // The smallest possible, which the message names, is possible; and it is the smallest.
          small.memoryBudget = (named - 1) << 10
          #expect(await failure(small)?.code == .invalidArgument)
          #expect(names(in: images) == nil, "nothing is made before it is known to be possible")
          small.memoryBudget = named << 10
          #expect(await failure(small) == nil)
        }
      }
      try await expectNoThreads()
    }

    @Test func saysThatTheProcessWasKilled() async throws {
      try await untilInterrupted {
        try await MemoryTarget.run(["--size", "512M"]) { target in
          let error = try await interrupt(pid: target.pid) { target.program.send(SIGKILL) }
          guard let error else { return false }
          #expect(error.code == .targetGone)
          #expect(error.message.contains("ended while it was copied"), "\(error)")
          return true
        }
      }
      try await expectNoThreads()
    }

    @Test func saysThatTheProcessExecutedAnotherProgram() async throws {
      try await untilInterrupted {
        try await MappingTarget.run { target in
          _ = try await target.map(pages: 128 << 10)
          let error = try await interrupt(pid: target.pid) { _ = try await target.tell("exec") }
          guard let error else { return false }
          #expect(error.code == .targetGone)
          #expect(error.message.contains("executed another program"), "\(error)")
          return true
        }
      }
      try await expectNoThreads()
    }

    /// Runs until the process is being read, has `interruption` happen, and says what came of it: no error
    /// when the run was faster.
    private func interrupt(
      pid: Int32, _ interruption: () async throws -> Void
    ) async throws -> SluiceError? {
      try await withTemporaryDirectory { directory in
        let images = "\(directory)/images"
        let run = Task { await failure(.init(pid: pid, imagesDirectory: images)) }
        try await eventually("the pages file is made") {
          fileSize("\(images)/pages-1.img.partial") != nil || looksFinished(images)
        }
        try await interruption()
        let error = await run.value
        #expect(names(in: images) == nil || error == nil, "nothing is left")
        return error
      }
    }

    private func untilInterrupted(_ attempt: () async throws -> Bool) async throws {
      for _ in 0..<20 where try await attempt() { return }
      Issue.record("every run ended before it was interrupted")
    }

    private func failure(_ configuration: PreDump.Configuration) async -> SluiceError? {
      do throws(SluiceError) {
        _ = try await PreDump(configuration).run()
        return nil
      } catch {
        return error
      }
    }

    private func contents(_ directory: String) throws -> [String: Data] {
      var contents: [String: Data] = [:]
      for name in try #require(names(in: directory)) {
        contents[name] = try Data(contentsOf: URL(fileURLWithPath: "\(directory)/\(name)"))
      }
      return contents
    }
  }
}
