import SluiceTestSupport
import Testing

@testable import SluiceTarget

@Suite("Mapped areas", .timeLimit(.minutes(15)))
struct MappedAreasTests {
  private let page = ProcessMemory.pageSize

  private struct Listed {
    var areas: [MappedArea] = []
    var mappings = 0
    var skipped: [SkipReason: Int] = [:]

    func at(_ address: UInt64) -> MappedArea? {
      areas.first { $0.start <= address && address < $0.end }
    }
  }

  private func list(_ target: MappingTarget) throws -> Listed {
    var areas = try MappedAreas(of: TargetProcess(pid: target.pid))
    var listed = Listed()
    while let area = try areas.next() { listed.areas.append(area) }
    listed.mappings = areas.mappings
    listed.skipped = areas.skipped
    return listed
  }

  @Test func haveEveryMappingOnce() async throws {
    try await MappingTarget.run { target in
      try await target.tell("aio")
      try await target.tell("ring")
      let listed = try list(target)
      let lines = try ProcessMemory.mappings(of: target.pid)
      #expect(listed.mappings == lines.count)
      let isSkipped = { (line: MapsLine) in
        ["[vvar]", "[vvar_vclock]", "[vsyscall]"].contains(line.name) || line.name.hasPrefix("anon_inode:")
          || line.permissions.hasSuffix("s")
      }
      #expect(listed.skipped.values.reduce(0, +) == lines.count(where: isSkipped))
      #expect(listed.skipped[.aio] == 1)
      #expect(listed.skipped[.device] == 1)
      for line in lines where !isSkipped(line) {
        let area = try #require(listed.at(line.start), "\(line)")
        #expect(area.end >= line.end)
        let pages: MappedArea.Pages = line.inode == 0 ? .own : .copiedFromFile
        #expect(area.pages == (line.name == "[vdso]" ? .all : pages), "\(line)")
      }
      let bytes = lines.filter { !isSkipped($0) }.reduce(0) { $0 + $1.end - $1.start }
      #expect(listed.areas.reduce(0) { $0 + $1.end - $1.start } == bytes)
    }
  }

  @Test func joinNeighboursThatAreTreatedAlike() async throws {
    try await withTemporaryDirectory { directory in
      try await MappingTarget.run { target in
        let start = try await target.map(pages: 12)
        try await target.tell("protect \(hexadecimal(start + 2 * page)) 2 none")
        try await target.tell("protect \(hexadecimal(start + 6 * page)) 2 r")
        #expect(try list(target).at(start) == (try list(target).at(start + 11 * page)))
        #expect(try list(target).at(start)?.start == start)
        #expect(try list(target).at(start)?.end == start + 12 * page)
        // A gap parts them.
        try await target.tell("unmap \(hexadecimal(start + 4 * page)) 1")
        #expect(try list(target).at(start)?.end == start + 4 * page)
        #expect(try list(target).at(start + 5 * page)?.start == start + 5 * page)
        // And so does a file, of which other pages are taken.
        let file = try await target.tell("file \(directory)/file 2")
        #expect(try list(target).at(file)?.pages == .copiedFromFile)
        try await target.tell("again \(hexadecimal(file)) 1")
        let (anonymous, rest) = (try list(target).at(file), try list(target).at(file + page))
        #expect(anonymous?.pages == .own && anonymous?.end == file + page)
        #expect(rest?.pages == .copiedFromFile && rest?.start == file + page)
      }
    }
  }

  /// What was listed is looked at before much more is listed.
  @Test func endWhereTheyAreLarge() async throws {
    try await MappingTarget.run { target in
      let pages = (40 << 20) / page
      let start = try await target.tell("reserve \(pages)")
      for index in stride(from: UInt64(0), to: pages, by: 1024) {
        try await target.tell("protect \(hexadecimal(start + index * page)) 512 none")
      }
      var areas = try MappedAreas(of: TargetProcess(pid: target.pid))
      var found: [MappedArea] = []
      while let area = try areas.next() {
        guard area.start >= start, area.end <= start + pages * page else { continue }
        found.append(area)
      }
      #expect(found.count == 3)
      #expect(found.first?.start == start)
      #expect(found.last?.end == start + pages * page)
    }
  }
}
