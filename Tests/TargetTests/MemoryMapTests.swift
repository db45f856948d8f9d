import SluiceTestSupport
import Testing

@testable import SluiceTarget

@Suite("Memory map", .timeLimit(.minutes(5)))
struct MemoryMapTests {
  private let page = ProcessMemory.pageSize

  private func list(_ process: TargetProcess) throws -> [VMA] {
    var map = try MemoryMap(of: process)
    var vmas: [VMA] = []
    while let vma = try map.next() { vmas.append(vma) }
    return vmas
  }

  @Test func listsManyMappings() async throws {
    try await MemoryTarget.run(["--size", "1M", "--vmas", "20000"]) { target in
      try await target.program.stop()
      let listed = try list(TargetProcess(pid: target.pid))
      let expected = try ProcessMemory.mappings(of: target.pid)
      #expect(expected.count > 20_000)
      #expect(
        listed.map {
          "\($0.start) \($0.end) \($0.isReadable) \($0.isWritable) \($0.isExecutable) \($0.isShared)"
        }
          == expected.map { line in
            let permissions = Array(line.permissions)
            let shared = permissions[3] == "s"
            return
              "\(line.start) \(line.end) \(permissions[0] == "r") \(permissions[1] == "w") \(permissions[2] == "x") \(shared)"
          })
      #expect(listed.map(\.name) == expected.map(\.name))
      #expect(listed.map(\.inode) == expected.map(\.inode))
    }
  }

  @Test func listsNamesThatAreLongAndStrange() async throws {
    try await withTemporaryDirectory { directory in
      let name = "\(directory)/" + String(repeating: "ü", count: 120)
      try await MappingTarget.run { target in
        try await target.tell("file \(name) 1")
        #expect(try list(TargetProcess(pid: target.pid)).contains(where: { $0.name == name }))
      }
    }
  }

  /// The kernel goes on where its last answer ended. When the mapping that ended there has become part of a
  /// larger one, the larger one is the next answer, and begins before what was listed already.
  @Test func listsNothingTwiceWhenMappingsMerge() async throws {
    let pages = 600
    try await MappingTarget.run { target in
      let start = try await target.map(pages: pages)
      let end = start + UInt64(pages) * page
      for index in stride(from: 1, to: pages, by: 2) {
        try await target.tell("protect \(hexadecimal(start + UInt64(index) * page)) 1 r")
      }
      var map = try MemoryMap(of: TargetProcess(pid: target.pid))
      var listed: [VMA] = []
      while let vma = try map.next() {
        guard vma.end > start, vma.start < end else { continue }
        listed.append(vma)
        // All that was listed, and the page after it, become one mapping.
        let merged = min(vma.end + page, end) - start
        try await target.tell("protect \(hexadecimal(start)) \(merged / page) r")
      }
      #expect(listed.first?.start == start)
      #expect(listed.last?.end == end)
      for (earlier, later) in zip(listed, listed.dropFirst()) {
        #expect(earlier.end == later.start)
      }
      // Else every answer of the kernel was read before the first merge, and nothing was tried.
      #expect(listed.contains(where: { $0.isWritable }) && listed.count < pages)
    }
  }

  @Test func endsWhenTheProcessEnds() async throws {
    try await MappingTarget.run { target in
      let process = try TargetProcess(pid: target.pid)
      var map = try MemoryMap(of: process)
      #expect(try map.next() != nil)
      try await target.exit()
      while try map.next() != nil {}
      #expect(throws: TargetError.self) { _ = try MemoryMap(of: process) }
    }
  }

  /// The kernel's answer, and the one that is found in the list where the kernel has no such question.
  @Test(arguments: [true, false])
  func findsTheMappingAtOrAboveAnAddress(inList: Bool) async throws {
    try await MappingTarget.run { target in
      let start = try await target.map(pages: 4)
      let end = start + 4 * page
      try await target.tell("protect \(hexadecimal(start + page)) 1 none")
      try await target.program.stop()
      let process = try TargetProcess(pid: target.pid)
      func mapping(_ address: UInt64) throws -> Range<UInt64>? {
        try inList
          ? MemoryMap.listedMapping(atOrAbove: address, of: process)
          : MemoryMap.mapping(atOrAbove: address, of: process)
      }
      #expect(try mapping(start - page) == start..<start + page)
      #expect(try mapping(start) == start..<start + page)
      #expect(try mapping(start + page - 1) == start..<start + page)
      #expect(try mapping(start + page) == start + page..<start + 2 * page)
      #expect(try mapping(end - page) == start + 2 * page..<end)
      #expect(try #require(try mapping(end)).lowerBound > end)

      let lines = try ProcessMemory.mappings(of: target.pid)
      let first = try #require(lines.first)
      #expect(try mapping(0) == first.start..<first.end)
      // vsyscall is in the list and belongs to no process, so the kernel's answer leaves it out.
      let last = try #require(lines.last(where: { $0.name != "[vsyscall]" }))
      #expect(try mapping(last.end)?.lowerBound ?? UInt64.max > last.end)
      #expect(try mapping(UInt64.max - page) == nil)
    }
  }
}
