import CSluiceLinux
import SluiceTestSupport
import Testing

@testable import SluiceTarget

@Suite("Memory map", .timeLimit(.minutes(15)))
struct MemoryMapTests {
  private let page = ProcessMemory.pageSize

  private func list(_ process: TargetProcess) throws -> [VMA] {
    var map = MemoryMap(of: process)
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
      let start = try await mapAlternately(pages, in: target)
      let end = start + UInt64(pages) * page
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

  /// Has each page be a mapping of its own.
  private func mapAlternately(_ pages: Int, in target: MappingTarget) async throws -> UInt64 {
    let start = try await target.map(pages: pages)
    for index in stride(from: 1, to: pages, by: 2) {
      try await target.tell("protect \(hexadecimal(start + UInt64(index) * page)) 1 r")
    }
    return start
  }

  /// The kernel looks for the place of a second reader of one file by counting the bytes of a list that may have changed.
  @Test func twoThatTakeTurnsMissNothing() async throws {
    let pages = 600
    try await MappingTarget.run { target in
      let start = try await mapAlternately(pages, in: target)
      let end = start + UInt64(pages) * page
      let process = try TargetProcess(pid: target.pid)
      var map = MemoryMap(of: process)
      var reached = start
      while reached < start + 200 * page, let vma = try map.next() { reached = max(reached, vma.end) }
      // What lies before becomes one mapping, so that the list is shorter.
      try await target.tell("protect \(hexadecimal(start)) 150 r")
      var other = MemoryMap(of: process)
      var whole: [VMA] = []
      while let vma = try other.next() {
        if vma.start >= start && vma.end <= end { whole.append(vma) }
      }
      #expect(whole.first?.start == start && whole.last?.end == end)
      while reached < end, let vma = try map.next() {
        #expect(vma.start == reached)
        reached = vma.end
      }
      #expect(reached == end)
    }
  }

  /// The end of a list says nothing: that of memory that is gone has one, too.
  @Test func saysThatTheProcessEnded() async throws {
    try await MappingTarget.run { target in
      let process = try TargetProcess(pid: target.pid)
      var map = MemoryMap(of: process)
      #expect(try map.next() != nil)
      try await target.exit()
      let error = #expect(throws: TargetError.self) { while try map.next() != nil {} }
      #expect(error?.code == .gone)
    }
  }

  @Test(.enabled(if: Kernel.isAtLeast(6, 11), "the kernel can be asked for mappings since 6.11"))
  func asksForTheMappingAtOrAboveAnAddress() async throws {
    try await MappingTarget.run { target in
      let start = try await target.map(pages: 4)
      let end = start + 4 * page
      try await target.tell("protect \(hexadecimal(start + page)) 1 w")
      try await target.program.stop()
      let process = try TargetProcess(pid: target.pid)
      func answer(_ address: UInt64) throws -> MappingAnswer? {
        guard case .mapping(let mapping) = try process.mapping(atOrAbove: address) else { return nil }
        return mapping
      }
      func mapping(_ address: UInt64) throws -> Range<UInt64>? {
        try answer(address).map { $0.start..<$0.end }
      }
      #expect(try mapping(start - page) == start..<start + page)
      #expect(try mapping(start) == start..<start + page)
      #expect(try mapping(start + page - 1) == start..<start + page)
      #expect(try mapping(start + page) == start + page..<start + 2 * page)
      #expect(try mapping(end - page) == start + 2 * page..<end)
      #expect(try #require(try mapping(end)).lowerBound > end)
      #expect(try answer(start)?.is_readable == true)
      #expect(try answer(start + page)?.is_readable == false)
      #expect(try answer(start)?.page_size == page)

      let lines = try ProcessMemory.mappings(of: target.pid)
      let first = try #require(lines.first)
      #expect(try mapping(0) == first.start..<first.end)
      #expect(try answer(0)?.inode == first.inode)
      // vsyscall is in the list and belongs to no process, so the kernel's answer leaves it out.
      let last = try #require(lines.last(where: { $0.name != "[vsyscall]" }))
      #expect(try mapping(last.end)?.lowerBound ?? UInt64.max > last.end)
      #expect(try mapping(UInt64.max - page) == nil)
    }
  }
}
