import Glibc
import Logging
import SluiceImages
import SluicePipeline
import SluiceTarget
import SluiceTestSupport
import Testing

@testable import Sluice

@Suite struct CoreMappingTests {
  private static let page = ProcessMemory.pageSize
  private static let (dontDump, doDump) = (16, 17)

  private func range(_ address: UInt64, pages: UInt64) -> Range<UInt64> {
    address..<address + pages * Self.page
  }

  /// The process changes its mind between the look at what it wants in no core and the stop, about memory that was there at
  /// that look, and after the stop about a part of some.
  @Test func `what got the mark late is taken out, and what lost it late is said to be missing`() async throws
  {
    try await MappingTarget.run { target in
      var areas: [UInt64] = []
      for _ in 0..<5 {
        areas.append(try await target.map(pages: 8))
        // What may not be read keeps the areas apart.
        _ = try await target.tell("protect \(hexadecimal(try await target.map(pages: 1))) 1 none")
      }
      let (marked, unmarked, stays, never, divided) = (areas[0], areas[1], areas[2], areas[3], areas[4])
      func advise(_ area: UInt64, _ pages: Int, _ advice: Int) async throws {
        try await target.tell("advise \(hexadecimal(area)) \(pages) \(advice)")
      }
      let process = try TargetProcess(pid: target.pid)
      for area in [unmarked, stays] { try await advise(area, 8, Self.dontDump) }
      let before = KnownDetails(try MappingDetails.read(of: process))
      try await advise(marked, 8, Self.dontDump)
      try await advise(unmarked, 8, Self.doDump)
      let rules = CoreRules(filter: .usual)
      var mappings: [CoreMapping] = []
      for vma in try process.mappings() {
        let treatment = try rules.treatment(of: vma, before.find(vma)) {
          nil
        } isProgram: {
          true
        }
        mappings.append(CoreMapping(vma: vma, treatment: treatment))
      }
      try await advise(divided, 3, Self.dontDump)
      let settled = mappings.settled(
        before: before, now: KnownDetails(try MappingDetails.read(of: process)), mostAsked: .max)
      #expect(settled.removed == [range(marked, pages: 8)])
      #expect(settled.missing == [range(unmarked, pages: 8)])
      for (area, treatment) in [
        (marked, CoreMapping.Treatment.nothing), (unmarked, .nothing), (stays, .nothing), (never, .own),
        (divided, .own),
      ] {
        #expect(settled.mappings.first { $0.vma.start == area }?.treatment == treatment)
      }
      #expect(settled.mappings.map(\.vma) == mappings.map(\.vma))
      #expect(settled.mappings.first { $0.vma.name == "[vdso]" }?.treatment == .whole)
    }
  }

  /// The process writes to files that are mapped for it alone after the look at its mappings, and has the access of one
  /// changed as a dynamic linker does.
  @Test func `a file's pages that were changed late are in, or are said to be missing`() async throws {
    try await withTemporaryDirectory { directory in
      try await MappingTarget.run { target in
        var areas: [UInt64] = []
        for name in ["written", "sealed", "clean"] {
          areas.append(try await target.tell("file \(directory)/\(name) 8"))
        }
        let (written, sealed, clean) = (areas[0], areas[1], areas[2])
        let process = try TargetProcess(pid: target.pid)
        let before = KnownDetails(try MappingDetails.read(of: process))
        try await target.tell("fill \(hexadecimal(written + 4 * Self.page)) 1")
        try await target.tell("fill \(hexadecimal(sealed)) 1")
        try await target.tell("protect \(hexadecimal(sealed)) 8 r")
        let now = KnownDetails(try MappingDetails.read(of: process))
        let rules = CoreRules(filter: .usual)
        func mappings(
          _ hasOwnNow: (VMA) throws(TargetError) -> Bool?
        ) throws(TargetError) -> [CoreMapping] {
          var mappings: [CoreMapping] = []
          for vma in try process.mappings() where areas.contains(vma.start) {
            let treatment = try rules.treatment(of: vma, before.find(vma)) { () throws(TargetError) in
              try hasOwnNow(vma)
            } isProgram: {
              false
            }
            mappings.append(CoreMapping(vma: vma, treatment: treatment))
          }
          return mappings
        }
        let asked = try mappings { (vma) throws(TargetError) in
          try PopulatedPages.hasOwn(in: vma, of: process)
        }
        for (area, treatment) in [
          (written, CoreMapping.Treatment.whole), (sealed, .whole), (clean, .nothing),
        ] {
          #expect(asked.first { $0.vma.start == area }?.treatment == treatment)
        }
        #expect(asked.settled(before: before, now: now, mostAsked: .max).missing == [])
        let unasked = try mappings { _ in nil }
        #expect(
          Set(unasked.settled(before: before, now: now, mostAsked: 0).missing) == [
            range(written, pages: 8), range(sealed, pages: 8),
          ])
      }
    }
  }

  /// The same through the round that makes the file: what it chooses for the stop, and what is left in the file after it.
  @Test func `a round takes what is so when the process stands still`() async throws {
    try await withTemporaryDirectory { directory in
      try await MappingTarget.run { target in
        let secret = try await target.map(pages: 8)
        let mapped = try await target.tell("file \(directory)/mapped 8")
        try await target.tell("stamp \(hexadecimal(secret)) 8 \(0x5345_4352_4554)")
        let process = try TargetProcess(pid: target.pid)
        let files = try CoreFiles(
          CoreName(template: "\(directory)/core"), first: process, replacing: false, direct: false,
          isExact: false)
        let round = CoreRound(
          files, isAlone: true, filter: nil, extent: .all, namesPidsInside: true,
          logger: Logger(label: "test"))
        try round.learnDetails(of: [process])
        try await target.tell("fill \(hexadecimal(mapped)) 1")
        try await target.tell("advise \(hexadecimal(secret)) 8 \(Self.dontDump)")
        let dumped = DumpedProcess(index: 0, process: process)
        let selection = try #require(
          try round.select([dumped], isLast: true, pageSize: Self.page)[dumped.owner])
        #expect(selection.whole.contains(range(mapped, pages: 8)))
        let file = try #require(try files.file(of: dumped.owner))
        try file.place([PageRun(address: secret, byteCount: 8 * Self.page)])
        file.extents.forEachPart(of: range(secret, pages: 8)) { _, offset in
          guard let offset else { return #expect(Bool(false), "has no place") }
          #expect(unsafe pwrite(file.output.descriptor, "TERCES", 6, off_t(offset)) == 6)
        }
        let found = try #require(round.stopped(dumped.owner)).mappings
        let settled = try round.settle(found, of: dumped.owner, file)
        #expect(settled.first { $0.vma.start == secret }?.treatment == .nothing)
        #expect(settled.first { $0.vma.start == mapped }?.treatment == .whole)
        file.extents.forEachPart(of: range(secret, pages: 8)) { _, offset in
          var byte: UInt8 = 1
          #expect(unsafe pread(file.output.descriptor, &byte, 1, off_t(offset ?? 0)) == 1)
          #expect(byte == 0)
        }
      }
    }
  }
}
