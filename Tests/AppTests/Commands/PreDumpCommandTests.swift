import Foundation
import SluiceTestSupport
import Testing

@Suite("sluice pre-dump", .timeLimit(.minutes(15)))
struct PreDumpCommandTests {
  @Test func copiesARunningProcess() async throws {
    try await MemoryTarget.run(["--size", "16M"]) { target in
      try await withTemporaryDirectory { directory in
        let images = "\(directory)/images"
        try await target.program.stop()
        let result = try await SluiceCommandLine.preDump(pid: target.pid, images: images)
        #expect(result.end == .exited(0), "\(result.errors)")
        #expect(result.output.isEmpty, "without --json nothing goes to standard output")
        #expect(result.errors.hasPrefix("sluice: process \(target.pid): "))
        #expect(result.errors.contains(images))
        let comparison = try await ImageComparison.run(pid: target.pid, images: images)
        #expect(comparison.isEqual, "\(comparison)")
        target.program.resume()
        try await target.check()
      }
    }
  }

  @Test(arguments: ["auto", "scan", "pagemap"])
  func findsPageStatesAsItIsTold(pageStates: String) async throws {
    try await MemoryTarget.run(["--size", "2M", "--odd"]) { target in
      try await target.program.stop()
      try await withTemporaryDirectory { images in
        let result = try await SluiceCommandLine.preDump(
          pid: target.pid, images: images, ["--page-states", pageStates])
        if pageStates == "scan" && !Kernel.isAtLeast(6, 7) {
          #expect(result.end == .exited(71))
          return
        }
        #expect(result.end == .exited(0), "\(result.errors)")
        let comparison = try await ImageComparison.run(pid: target.pid, images: images)
        #expect(comparison.isEqual, "\(comparison)")
      }
    }
  }

  @Test func tellsTheFiguresAsJSON() async throws {
    try await MemoryTarget.run(["--size", "8M", "--odd"]) { target in
      try await target.program.stop()
      try await withTemporaryDirectory { directory in
        let images = "\(directory)/images"
        let options = ["--json", "--memory-budget", "2M"]
        let result = try await SluiceCommandLine.preDump(pid: target.pid, images: images, options)
        #expect(result.end == .exited(0), "\(result.errors)")
        let figures = try jsonObject(result.output)
        func number(_ key: String) throws -> Int { try #require(figures[key] as? Int, "\(key)") }

        let comparison = try await ImageComparison.run(pid: target.pid, images: images)
        #expect(comparison.isEqual, "\(comparison)")
        #expect(try number("pages_written") == comparison.counts["in_images"])
        #expect(try number("pages_written") == comparison.counts["equal"])
        #expect(try number("bytes_written") == fileSize("\(images)/pages-1.img"))
        #expect(try number("bytes_written") == number("pages_written") * Int(ProcessMemory.pageSize))
        #expect(try number("pages_scanned") == number("pages_written"))
        #expect(try number("pages_skipped_parent") == 0)
        #expect(try number("pages_vanished") == 0)
        #expect(try number("duration_us") > 0)
        #expect(try number("frozen_us") == 0)
        #expect(try number("clear_us") <= number("duration_us"))
        #expect(try number("memory_budget") == 2 << 20)
        #expect(try (1..<2 << 20).contains(number("buffers_bytes")))
        #expect(try (1..<(2 + Self.debugBuildMebibytes) << 20).contains(number("peak_rss_bytes")))
        #expect(figures["images_dir"] as? String == images)
        #expect(try number("pid") == Int(target.pid))
      }
    }
  }

  @Test func tellsItsProgressAsJSON() async throws {
    try await MemoryTarget.run(["--size", "128M"]) { target in
      try await withTemporaryDirectory { images in
        let result = try await SluiceCommandLine.preDump(
          pid: target.pid, images: images, ["--progress", "json"])
        #expect(result.end == .exited(0), "\(result.errors)")
        let lines = result.errorLines.filter { $0.hasPrefix("{") }
        #expect(!lines.isEmpty, "the last state is told however short the run is")
        var before = 0
        for line in lines {
          let state = try jsonObject(line + "\n")
          let written = try #require(state["bytes_written"] as? Int)
          #expect(written >= before)
          #expect(try #require(state["bytes_expected"] as? Int) >= written)
          before = written
        }
        #expect(before == fileSize("\(images)/pages-1.img"))
      }
    }
  }

  @Test func tellsItsProgressInAFileOfItsOwn() async throws {
    try await MemoryTarget.run(["--size", "1M"]) { target in
      try await withTemporaryDirectory { directory in
        let file = "\(directory)/progress"
        let result = try await SluiceCommandLine.preDump(
          pid: target.pid, images: "\(directory)/images", ["--progress", "json", "--progress-file", file])
        #expect(result.end == .exited(0), "\(result.errors)")
        #expect(!result.errors.contains("{"), "\(result.errors)")
        let lines = try String(contentsOfFile: file, encoding: .utf8).split(separator: "\n")
        #expect(!lines.isEmpty)
        for line in lines { #expect(try jsonObject(line + "\n")["phase"] != nil) }
        let alone = try await SluiceCommandLine.preDump(
          pid: target.pid, images: "\(directory)/images", ["--progress-file", file])
        expectFailure(alone, code: 64, saying: "--progress-file needs --progress json")
      }
    }
  }

  // MARK: The memory budget

  @Test(arguments: [
    ("1M", 1 << 20), ("1024K", 1 << 20), ("1MiB", 1 << 20), ("1024KiB", 1 << 20), ("1048576", 1 << 20),
    ("1G", 1 << 30), ("1GiB", 1 << 30), ("1024G", 1 << 40),
  ])
  func readsSizes(text: String, bytes: Int) async throws {
    try await MemoryTarget.run(["--size", "1M"]) { target in
      try await withTemporaryDirectory { images in
        let result = try await SluiceCommandLine.preDump(
          pid: target.pid, images: images, ["--json", "--memory-budget", text])
        #expect(result.end == .exited(0), "\(result.errors)")
        #expect(try jsonObject(result.output)["memory_budget"] as? Int == bytes)
      }
    }
  }

  @Test(arguments: ["", "M", "64X", "-1", "1.5", "64 M", "99999999999G"])
  func refusesSizesThatAreNone(text: String) async throws {
    try await withTemporaryDirectory { directory in
      let images = "\(directory)/images"
      let result = try await SluiceCommandLine.preDump(pid: 1, images: images, ["--memory-budget", text])
      expectFailure(result, code: 64, saying: "--memory-budget")
      #expect(names(in: images) == nil)
    }
  }

  @Test(arguments: ["0", "1", "100K"])
  func namesTheSmallestBudget(text: String) async throws {
    try await MemoryTarget.run(["--size", "1M"]) { target in
      try await withTemporaryDirectory { directory in
        let images = "\(directory)/images"
        let result = try await SluiceCommandLine.preDump(
          pid: target.pid, images: images, ["--memory-budget", text])
        expectFailure(result, code: 64, saying: "use at least")
        let smallest = try #require(result.errors.dropLast().split(separator: " ").last)
        #expect(names(in: images) == nil)
        let again = try await SluiceCommandLine.preDump(
          pid: target.pid, images: images, ["--memory-budget", String(smallest)])
        #expect(again.end == .exited(0), "\(again.errors)")
      }
    }
  }

  /// However large the budget, no more is mapped than can be of use; and where even that is refused, it is said.
  @Test func saysThatThereIsNoMemoryForTheBuffers() async throws {
    try await MemoryTarget.run(["--size", "1M"]) { target in
      try await withTemporaryDirectory { directory in
        let huge = ["--memory-budget", "8589934591G"]
        let result = try await SluiceCommandLine.preDump(
          pid: target.pid, images: "\(directory)/1", huge)
        #expect(result.end == .exited(0), "\(result.errors)")
        let images = "\(directory)/2"
        let sluice = try Command(built: "sluice", ["pre-dump", "-t", "\(target.pid)", "-D", images] + huge)
        let limited = try await Command(
          installed: "prlimit", ["--as=\(3 << 30)", sluice.path] + sluice.arguments
        ).run()
        expectFailure(limited, code: 71, saying: "smaller memory budget")
        #expect(names(in: images) == nil)
      }
    }
  }

  // MARK: The wrong process

  /// Runs a pre-dump that must fail before anything is made.
  private func expectRefusal(
    pid: Int32, code: Int32, saying word: String, sourceLocation: SourceLocation = #_sourceLocation
  ) async throws {
    try await withTemporaryDirectory { directory in
      let images = "\(directory)/images"
      let result = try await SluiceCommandLine.preDump(pid: pid, images: images)
      expectFailure(result, code: code, saying: word, "\(pid)", sourceLocation: sourceLocation)
      #expect(names(in: images) == nil, sourceLocation: sourceLocation)
    }
  }

  @Test func refusesAPidThatNobodyHas() async throws {
    try await expectRefusal(pid: 1 << 22, code: 66, saying: "no process")
    try await expectRefusal(pid: 0, code: 64, saying: "pids begin at 1")
  }

  @Test func refusesAKernelThread() async throws {
    let name = try String(contentsOfFile: "/proc/2/comm", encoding: .utf8)
    try #require(name == "kthreadd\n", "in a pid namespace there are no kernel threads to try it with")
    try await expectRefusal(pid: 2, code: 66, saying: "kernel thread")
  }

  @Test func refusesAThreadAndAZombie() async throws {
    try await MappingTarget.run { target in
      let thread = try await target.tell("thread")
      try await expectRefusal(pid: Int32(thread), code: 66, saying: "use \(target.pid)")
      let zombie = try await target.tell("zombie")
      try await expectRefusal(pid: Int32(zombie), code: 66, saying: "zombie")
    }
  }

  @Test func refusesItself() async throws {
    try await withTemporaryDirectory { directory in
      let images = "\(directory)/images"
      let script = "exec \"$0\" pre-dump -t $$ -D \"$1\""
      let command = Command("/bin/sh", ["-c", script, try Command.builtPath("sluice"), images])
      expectFailure(try await command.run(), code: 64, saying: "this program itself")
      #expect(names(in: images) == nil)
    }
  }

  /// Root without capabilities may do no more than others may.
  private static let withoutCapabilities = ["--bounding-set=-all", "--inh-caps=-all"]

  @Test(.needsRoot) func saysWhatIsMissingWhereItIsNotPermitted() async throws {
    let nobody = ["--reuid=65534", "--regid=65534", "--clear-groups", "sleep", "600"]
    try await withProgram(try Command(installed: "setpriv", nobody)) { program in
      try await eventually("it runs") {
        try String(contentsOfFile: "/proc/\(program.pid)/comm", encoding: .utf8) == "sleep\n"
      }
      try await withTemporaryDirectory { directory in
        let images = "\(directory)/images"
        let sluice = [try Command.builtPath("sluice"), "pre-dump", "-t", "\(program.pid)", "-D", images]
        let result = try await Command(installed: "setpriv", Self.withoutCapabilities + sluice).run()
        expectFailure(result, code: 77, saying: "CAP_SYS_PTRACE", "\(program.pid)")
        #expect(names(in: images) == nil)
      }
    }
  }

  // MARK: The wrong place

  @Test func refusesPlacesWhereNoDirectoryCanBe() async throws {
    try await MemoryTarget.run(["--size", "1M"]) { target in
      try await withTemporaryDirectory { directory in
        let file = "\(directory)/file"
        try Data("precious".utf8).write(to: URL(fileURLWithPath: file))
        expectFailure(
          try await SluiceCommandLine.preDump(pid: target.pid, images: file), code: 73, saying: file,
          "ENOTDIR")
        #expect(try String(contentsOfFile: file, encoding: .utf8) == "precious")
        expectFailure(
          try await SluiceCommandLine.preDump(pid: target.pid, images: ""), code: 73, saying: "ENOENT")
        #expect(names(in: directory) == ["file"])
      }
    }
  }

  @Test func makesTheDirectoriesAroundItAndTakesThemAwayWhenItFails() async throws {
    try await MemoryTarget.run(["--size", "1M"]) { target in
      try await withTemporaryDirectory { directory in
        let images = "\(directory)/a/b/images"
        let refused = try await SluiceCommandLine.preDump(pid: 1 << 22, images: images)
        expectFailure(refused, code: 66, saying: "no process")
        #expect(names(in: directory) == [])
        let result = try await SluiceCommandLine.preDump(pid: target.pid, images: images)
        #expect(result.end == .exited(0), "\(result.errors)")
        #expect(looksFinished(images))
        for made in ["a", "a/b"] {
          let rights = try FileManager.default.attributesOfItem(atPath: "\(directory)/\(made)")[
            .posixPermissions]
          #expect(rights as? Int == 0o711, "\(made)")
        }
      }
    }
  }

  /// It is found out before anything is copied.
  @Test func refusesAWorkDirectoryThatIsNotThere() async throws {
    try await MemoryTarget.run(["--size", "1M"]) { target in
      try await withTemporaryDirectory { directory in
        let result = try await SluiceCommandLine.preDump(
          pid: target.pid, images: "\(directory)/images", ["-W", "\(directory)/none"])
        expectFailure(result, code: 73, saying: "--work-dir", "\(directory)/none", "ENOENT")
        #expect(names(in: directory) == [])
        for option in ["--prev-images-dir", "--freeze-cgroup"] {
          let refused = try await SluiceCommandLine.preDump(
            pid: target.pid, images: "\(directory)/images", [option, "\(directory)/none"])
          expectFailure(refused, code: 66, saying: option, "\(directory)/none", "ENOENT")
        }
        #expect(names(in: directory) == [])
      }
    }
  }

  @Test func refusesADirectoryThatHoldsImages() async throws {
    try await MemoryTarget.run(["--size", "1M"]) { target in
      try await withTemporaryDirectory { images in
        _ = try await SluiceCommandLine.preDump(pid: target.pid, images: images)
        let before = try Data(contentsOf: URL(fileURLWithPath: "\(images)/pages-1.img"))
        expectFailure(
          try await SluiceCommandLine.preDump(pid: target.pid, images: images), code: 73, saying: images,
          "already holds images")
        #expect(try Data(contentsOf: URL(fileURLWithPath: "\(images)/pages-1.img")) == before)
        #expect(looksFinished(images))
      }
    }
  }

  /// Also without -v: else nobody would know why the round has so much to copy.
  @Test func saysThatEarlierImagesAreOfAnotherProcess() async throws {
    try await withTemporaryDirectory { directory in
      try await MemoryTarget.run(["--size", "1M"]) { target in
        _ = try await SluiceCommandLine.preDump(pid: target.pid, images: "\(directory)/1")
      }
      try await MemoryTarget.run(["--size", "1M"]) { target in
        let result = try await SluiceCommandLine.preDump(
          pid: target.pid, images: "\(directory)/2", ["--prev-images-dir", "../1", "--tracker", "content"])
        #expect(result.end == .exited(0))
        #expect(
          result.errors.contains(
            "copying all of process \(target.pid): the images in \(directory)/1 cannot be used as a base"),
          "\(result.errors)")
        _ = try await SluiceCommandLine.preDump(
          pid: target.pid, images: "\(directory)/3", ["--tracker", "none"])
        let unhashed = try await SluiceCommandLine.preDump(
          pid: target.pid, images: "\(directory)/4", ["--prev-images-dir", "../3", "--tracker", "content"])
        #expect(unhashed.errors.contains("they have no hashes of its pages"), "\(unhashed.errors)")
      }
    }
  }

  @Test(.needsRoot) func refusesADirectoryThatMayNotBeWritten() async throws {
    let target = [try Command.builtPath("memory-target"), "--size", "1M", "--seconds", "600"]
    var command = try Command(installed: "setpriv", Self.withoutCapabilities + target)
    command.output = .lines
    try await withProgram(command) { program in
      _ = try await program.nextLine()
      try await withTemporaryDirectory { directory in
        try FileManager.default.setAttributes([.posixPermissions: 0o500], ofItemAtPath: directory)
        for images in ["\(directory)/images", directory] {
          let sluice = [try Command.builtPath("sluice"), "pre-dump", "-t", "\(program.pid)", "-D", images]
          let result = try await Command(installed: "setpriv", Self.withoutCapabilities + sluice).run()
          expectFailure(result, code: 73, saying: images, "EACCES")
        }
        #expect(names(in: directory) == [])
      }
    }
  }

  /// Runs a pre-dump onto a tmpfs that nobody else sees and that goes with it; what is left there is printed.
  private func runOnMount(options: String, pid: Int32) async throws -> CommandResult {
    try await withTemporaryDirectory { directory in
      let script = """
        mount -t tmpfs -o \(options) sluice-test "$2" || exit 1
        "$0" pre-dump -t "$1" -D "$2/images" --memory-budget 1M
        code=$?
        ls -A "$2"
        exit $code
        """
      let sluice = try Command.builtPath("sluice")
      let arguments = ["--mount", "/bin/sh", "-c", script, sluice, "\(pid)", directory]
      return try await Command(installed: "unshare", arguments).run()
    }
  }

  /// Full at the first write, in the middle, and when only the small files are left to be written.
  @Test(.needsRoot, arguments: ["4k", "1m", "10m", "nr_inodes=2", "nr_inodes=3", "nr_inodes=4"])
  func saysThatTheDiskIsFull(size: String) async throws {
    try await MemoryTarget.run(["--size", "16M"]) { target in
      let options = size.hasPrefix("nr_inodes") ? size : "size=\(size)"
      let result = try await runOnMount(options: options, pid: target.pid)
      let code: Int32 = size.hasPrefix("nr_inodes") ? 73 : 74
      expectFailure(result, code: code, saying: "ENOSPC")
      try await target.check()
    }
  }

  @Test(.needsRoot) func refusesAReadOnlyFilesystem() async throws {
    try await MemoryTarget.run(["--size", "1M"]) { target in
      let result = try await runOnMount(options: "ro", pid: target.pid)
      expectFailure(result, code: 73, saying: "EROFS")
    }
  }

  // MARK: What goes away

  @Test func saysThatTheProcessWentAway() async throws {
    try await MemoryTarget.run(["--size", "512M"]) { target in
      try await InterruptedPreDump.run(pid: target.pid) { preDump in
        target.program.send(SIGKILL)
        try await target.program.untilEnded()
        expectFailure(
          try await preDump.goOn(), code: 75, saying: "\(target.pid)", "ended while it was copied")
        #expect(names(in: preDump.images) == nil)
      }
    }
  }

  @Test func saysThatTheProcessExecutedAnotherProgram() async throws {
    try await MappingTarget.run { target in
      _ = try await target.map(pages: 128 << 10)
      try await InterruptedPreDump.run(pid: target.pid) { preDump in
        try await target.tell("exec")
        expectFailure(
          try await preDump.goOn(), code: 75, saying: "\(target.pid)", "executed another program")
        #expect(names(in: preDump.images) == nil)
      }
    }
  }

  /// The new program has its memory where the old one had it, so that every read succeeds: only the look at
  /// the process in the end can tell that it was of another program.
  @Test func saysThatTheProcessExecutedItselfAnew() async throws {
    try await MappingTarget.run(hasFixedAddresses: true) { target in
      // Many mappings without a page: the walk takes its time over them, and has nothing to read from them.
      let pages: UInt64 = 20_000
      let start = try await target.tell("reserve \(pages)")
      for index in stride(from: 0, to: pages, by: 2) {
        try await target.tell("protect \(hexadecimal(start + index * ProcessMemory.pageSize)) 1 none")
      }
      func places() throws -> [UInt64] {
        try ProcessMemory.mappings(of: target.pid).filter { !$0.name.isEmpty }.map(\.start)
      }
      let before = try places()
      try await InterruptedPreDump.run(pid: target.pid) { preDump in
        try await target.tell("exec")
        expectFailure(
          try await preDump.goOn(), code: 75, saying: "\(target.pid)", "executed another program")
        #expect(names(in: preDump.images) == nil)
      }
      #expect(try places() == before, "else it is not the case that is meant")
    }
  }

  // MARK: Memory

  /// What the budget does not cover is the program itself, for which 24 MiB are promised: the row `memory` of Benchmarks keeps
  /// to that. A debug build's own code takes some 5 MiB more (measured: 25.7 MiB in all, of which 9.5 are code of ours).
  private static let debugBuildMebibytes = 28

  @Test(arguments: [1, 16])
  func keepsToItsBudget(mebibytes: Int) async throws {
    try await MemoryTarget.run(["--size", "1G"]) { target in
      try await withTemporaryDirectory { directory in
        let options = ["--memory-budget", "\(mebibytes)M", "--json"]
        let command = try Command(
          built: "sluice", ["pre-dump", "-t", "\(target.pid)", "-D", "\(directory)/images"] + options)
        try await withProgram(command) { sluice in
          var seen = 0
          try await eventually("it has ended") {
            // The kernel keeps the highest value, so that the last one is the peak, or nearly so.
            seen = ProcessMemory.status("VmHWM", of: sluice.pid) ?? seen
            return sluice.hasEnded
          }
          let result = try await sluice.result()
          #expect(result.end == .exited(0), "\(result.errors)")
          let told = try #require(try jsonObject(result.output)["peak_rss_bytes"] as? Int)
          #expect(seen > 0 && seen << 10 <= told + 1 << 20, "what it says of itself is not too little")
          #expect(
            max(told, seen << 10) <= (mebibytes + Self.debugBuildMebibytes) << 20, "\(told), \(seen) KiB")
        }
      }
    }
  }
}
