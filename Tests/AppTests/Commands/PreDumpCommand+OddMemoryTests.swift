import Foundation
import SluiceTestSupport
import Testing

/// Every kind of memory that a process can have: what must be in the images is there, and nothing else.
@Suite("sluice pre-dump of odd memory", .timeLimit(.minutes(15)))
struct OddMemoryTests {
  private let page = ProcessMemory.pageSize

  /// Copies the process, and expects the images to be right.
  private func copy(
    _ target: MappingTarget, _ pageStates: String, _ options: [String] = [],
    sourceLocation: SourceLocation = #_sourceLocation
  ) async throws -> CheckedCopy {
    let copy = try await CheckedCopy.make(
      of: target.program, pageStates: pageStates, options, sourceLocation: sourceLocation)
    #expect(copy.comparison.isEqual, "\(copy.comparison)", sourceLocation: sourceLocation)
    return copy
  }

  private func expect(
    _ copy: CheckedCopy, has pages: Int, at address: UInt64, sourceLocation: SourceLocation = #_sourceLocation
  ) {
    let mapping = copy.comparison.mapping(at: address)
    #expect(mapping?.equal == pages, "\(copy.comparison)", sourceLocation: sourceLocation)
    #expect(mapping?.inImages == pages, "\(copy.comparison)", sourceLocation: sourceLocation)
  }

  @Test(arguments: CheckedCopy.pageStates, ["none", "w", "x", "r", "rx"])
  func isTakenWhateverTheProcessMayDoWithIt(pageStates: String, protection: String) async throws {
    try await MappingTarget.run { target in
      let start = try await target.map(pages: 600)
      try await target.tell("protect \(hexadecimal(start)) 600 \(protection)")
      let copy = try await copy(target, pageStates)
      expect(copy, has: 600, at: start)
      #expect(try (copy.number("pages_forced") >= 600) == !protection.contains("r"))
    }
  }

  @Test(arguments: CheckedCopy.pageStates)
  func isLeftOutWhereOnlyZerosWereRead(pageStates: String) async throws {
    try await MemoryTarget.run(["--size", "1M", "--odd"]) { target in
      let copy = try await CheckedCopy.make(of: target.program, pageStates: pageStates)
      #expect(copy.comparison.isEqual, "\(copy.comparison)")
      #expect(try copy.number("pages_skipped", "zero") >= 64, "--odd has 64 such pages")
      // The half of its huge pages that was only read is one huge zero page, and is taken.
      let huge = copy.comparison.mappings.filter { $0.expected == 1024 && $0.equal == 1024 }
      #expect(huge.count == 1, "\(copy.comparison)")
      try await target.check()
    }
  }

  @Test(
    .enabled(if: Kernel.isAtLeast(6, 15), "the kernel tells guard regions since 6.15"),
    arguments: CheckedCopy.pageStates)
  func isLeftOutWhereItIsAGuardRegion(pageStates: String) async throws {
    try await MappingTarget.run { target in
      let start = try await target.map(pages: 16)
      // MADV_GUARD_INSTALL
      try await target.tell("advise \(hexadecimal(start + 4 * page)) 8 102")
      let copy = try await copy(target, pageStates)
      expect(copy, has: 8, at: start)
      #expect(try copy.number("pages_skipped", "guard") == 8)
    }
  }

  @Test(arguments: CheckedCopy.pageStates)
  func isLeftOutWhereItIsNotTheProcesses(pageStates: String) async throws {
    try await MappingTarget.run { target in
      try await target.tell("aio")
      let ring = try await target.tell("ring")
      try await target.tell("read \(hexadecimal(ring)) 1")
      let copy = try await copy(target, pageStates)
      #expect(try copy.number("mappings_skipped", "aio") == 1)
      #expect(try copy.number("mappings_skipped", "device") == 1)
      #expect(try copy.number("mappings_skipped", "kernel") >= 2)
      #expect(copy.comparison.mapping(at: ring)?.inImages == 0)
    }
  }

  @Test(
    .enabled("this kernel has no uprobes that we may set") { await Uprobe.isPossible },
    arguments: CheckedCopy.pageStates)
  func isLeftOutWhereItIsTheKernelsForUprobes(pageStates: String) async throws {
    // A probe is on a file, and changes the memory of all that have it mapped.
    try await MappingTarget.run(hasOwnFile: true) { target in
      try await Uprobe.with(on: target) {
        #expect(try await target.tell("probed 7") == 7)
        let copy = try await copy(target, pageStates)
        let mapping = try #require(copy.comparison.mappings.first { $0.name == "[uprobes]" })
        #expect(mapping.inImages == 0)
      }
    }
  }

  @Test(.needsRoot, arguments: CheckedCopy.pageStates)
  func isLeftOutWhereItIsOfHugetlbfs(pageStates: String) async throws {
    try await withHugePages(6) {
      try await withMount("hugetlbfs") { directory in
        try await MappingTarget.run { target in
          for command in ["hugetlb 512", "hugetlb-memfd 512", "file \(directory)/file 512"] {
            let start = try await target.tell(command)
            try await target.tell("fill \(hexadecimal(start)) 512")
          }
          let copy = try await copy(target, pageStates)
          #expect(try copy.number("mappings_skipped", "hugetlb") == 3)
        }
      }
    }
  }

  /// CRIU before 4.2 asks a parent for it.
  @Test(
    .enabled(if: Kernel.isAtLeast(6, 11), "there is such memory since 6.11"),
    arguments: CheckedCopy.pageStates)
  func isTakenWhereTheKernelMayDropIt(pageStates: String) async throws {
    try await MappingTarget.run { target in
      let start = try await target.tell("droppable 16")
      expect(try await copy(target, pageStates), has: 16, at: start)
    }
  }

  @Test(arguments: CheckedCopy.pageStates)
  func isTakenWhereItHasGrownDownwards(pageStates: String) async throws {
    try await MappingTarget.run { target in
      let start = try await target.tell("stack 16")
      expect(try await copy(target, pageStates), has: 16, at: start)
      try await target.tell("fill \(hexadecimal(start - 8 * page)) 2")
      let copy = try await copy(target, pageStates)
      expect(copy, has: 18, at: start)
      #expect(copy.comparison.mapping(at: start)?.start == start - 8 * page)
    }
  }

  @Test(
    .enabled(if: Processor.has("user_shstk"), "this processor or kernel has no shadow stacks"),
    arguments: CheckedCopy.pageStates)
  func isTakenWhereItIsAShadowStack(pageStates: String) async throws {
    try await MappingTarget.run { target in
      let start = try await target.tell("shadow-stack 4")
      expect(try await copy(target, pageStates), has: 1, at: start)
    }
  }

  @Test(
    .enabled(if: Processor.has("la57"), "this processor has no addresses above 47 bits"),
    arguments: CheckedCopy.pageStates)
  func isTakenAbove47Bits(pageStates: String) async throws {
    try await MappingTarget.run { target in
      let start = try await target.tell("high 16")
      #expect(start >> 47 != 0)
      expect(try await copy(target, pageStates), has: 16, at: start)
    }
  }

  @Test(.needsRoot, arguments: CheckedCopy.pageStates)
  func isTakenWhereSomebodyAnswersItsFaults(pageStates: String) async throws {
    try await MappingTarget.run { target in
      let start = try await target.map(pages: 64)
      try await target.tell("catch-faults \(hexadecimal(start)) 64")
      try await target.tell("advise \(hexadecimal(start + 8 * page)) 4 4")
      expect(try await copy(target, pageStates), has: 60, at: start)
    }
  }

  // MARK: Swap

  @Test(
    .enabled("there can be no swap space here") { await SwapFile.isPossible },
    arguments: CheckedCopy.pageStates)
  func isReadBackFromSwap(pageStates: String) async throws {
    try await SwapFile.with {
      try await MappingTarget.run { target in
        let start = try await target.map(pages: 64)
        try await target.swapOut(start + 16 * page, pages: 32)
        let copy = try await copy(target, pageStates)
        expect(copy, has: 64, at: start)
        #expect(try copy.number("pages_swapped") == 32)
        #expect(try copy.number("pages_skipped", "swapped") == 0)
        #expect(ProcessMemory.status("VmSwap", of: target.pid) == 0, "and is in its memory now")
      }
    }
  }

  @Test(
    .enabled("there can be no swap space here") { await SwapFile.isPossible },
    arguments: CheckedCopy.pageStates)
  func isLeftInSwapIfThatIsWanted(pageStates: String) async throws {
    try await SwapFile.with {
      try await MappingTarget.run { target in
        let start = try await target.map(pages: 64)
        try await target.swapOut(start + 16 * page, pages: 32)
        let copy = try await CheckedCopy.make(
          of: target.program, pageStates: pageStates, ["--swapped", "skip"])
        #expect(copy.comparison.mapping(at: start)?.expected == 64)
        #expect(copy.comparison.mapping(at: start)?.equal == 32, "\(copy.comparison)")
        #expect(copy.comparison.counts["missing"] == 32)
        #expect(copy.comparison.counts["differing"] == 0)
        #expect(try copy.number("pages_swapped") == 32)
        #expect(try copy.number("pages_skipped", "swapped") == 32)
      }
    }
  }

  // MARK: Many and large

  @Test(arguments: CheckedCopy.pageStates, [20_000, 60_000])
  func isTakenFromManyMappings(pageStates: String, count: Int) async throws {
    try await MemoryTarget.run(["--size", "1M", "--vmas", "\(count)"]) { target in
      let copy = try await CheckedCopy.make(
        of: target.program, pageStates: pageStates, ["--memory-budget", "1M"])
      #expect(copy.comparison.isEqual, "\(copy.comparison)")
      #expect(try copy.number("mappings") > count)
      try await target.check()
    }
  }

  @Test(arguments: CheckedCopy.pageStates)
  func isTakenFromAnEmptyTerabyte(pageStates: String) async throws {
    try await MemoryTarget.run(["--size", "1M", "--sparse", "1T", "--sparse-pages", "1000"]) { target in
      let copy = try await CheckedCopy.make(of: target.program, pageStates: pageStates)
      #expect(copy.comparison.isEqual, "\(copy.comparison)")
      try await target.check()
    }
  }

  // MARK: The cost to the process

  /// Reading these makes the kernel walk all page tables of the process at once, under its mmap_lock.
  @Test(arguments: CheckedCopy.pageStates)
  func isFoundWithoutWhatHoldsTheProcessUp(pageStates: String) async throws {
    try await MemoryTarget.run(["--size", "1M", "--odd", "--vmas", "100"]) { target in
      try await withTemporaryDirectory { directory in
        let trace = "\(directory)/trace"
        let sluice = [
          try Command.builtPath("sluice"), "pre-dump", "-t", "\(target.pid)", "-D", "\(directory)/images",
          "--page-states", pageStates,
        ]
        let result = try await Command(
          installed: "strace", ["-f", "-o", trace, "-e", "trace=%file", "--"] + sluice
        ).run()
        #expect(result.end == .exited(0), "\(result.errors)")
        let text = try String(contentsOfFile: trace, encoding: .utf8)
        #expect(text.contains("/proc/\(target.pid)/maps"), "else nothing was watched")
        for name in ["smaps", "smaps_rollup", "numa_maps"] {
          #expect(!text.contains("/\(name)\""))
        }
      }
    }
  }
}
