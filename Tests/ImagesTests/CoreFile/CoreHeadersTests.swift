import Testing

@testable import SluiceImages

@Suite struct CoreHeadersTests {
  private func number(_ bytes: [UInt8], at offset: Int, _ count: Int) -> UInt64 {
    bytes[offset..<offset + count].reversed().reduce(0) { $0 << 8 | UInt64($1) }
  }

  private func headers(segments count: Int) -> CoreHeaders {
    let segments = (0..<count).map {
      CoreSegment(
        address: UInt64($0) << 16, memoryBytes: 8192, fileBytes: 4096, fileOffset: 65536, permissions: 5)
    }
    return CoreHeaders(
      notes: 4096..<4196, segments: segments, tableOffset: 8192, pageSize: 4096, machine: .x86)
  }

  @Test func `tells where the program headers are, and how many`() {
    let headers = headers(segments: 2)
    #expect(headers.elfHeader.count == CoreHeaders.elfHeaderBytes)
    #expect(headers.elfHeader.prefix(7) == [0x7f, 0x45, 0x4c, 0x46, 2, 1, 1])
    #expect(number(headers.elfHeader, at: 16, 2) == 4)
    #expect(number(headers.elfHeader, at: 18, 2) == 62)
    #expect(number(headers.elfHeader, at: 32, 8) == 8192)
    #expect(number(headers.elfHeader, at: 40, 8) == 0)
    #expect(number(headers.elfHeader, at: 54, 2) == 56)
    #expect(number(headers.elfHeader, at: 56, 2) == 3)
    #expect(headers.table.count == CoreHeaders.tableBytes(segments: 2))
    // The notes, then the memory.
    #expect(number(headers.table, at: 0, 4) == 4)
    #expect(number(headers.table, at: 8, 8) == 4096)
    #expect(number(headers.table, at: 32, 8) == 100)
    #expect(number(headers.table, at: 56, 4) == 1)
    #expect(number(headers.table, at: 60, 4) == 5)
    #expect(number(headers.table, at: 112 + 16, 8) == 1 << 16)
    #expect(number(headers.table, at: 112 + 32, 8) == 4096)
    #expect(number(headers.table, at: 112 + 40, 8) == 8192)
  }

  @Test(arguments: [0xfffd, 0xfffe, 0x1_0001])
  func `counts more than a header can in a section`(segments count: Int) {
    let headers = headers(segments: count)
    #expect(headers.table.count == CoreHeaders.tableBytes(segments: count))
    guard count + 1 >= 0xffff else {
      #expect(number(headers.elfHeader, at: 56, 2) == UInt64(count + 1))
      return
    }
    #expect(number(headers.elfHeader, at: 56, 2) == 0xffff)
    #expect(number(headers.elfHeader, at: 60, 2) == 1)
    let section = Int(number(headers.elfHeader, at: 40, 8)) - 8192
    #expect(section == (count + 1) * CoreHeaders.programHeaderBytes)
    // sh_size counts the sections, sh_info the program headers.
    #expect(number(headers.table, at: section + 32, 8) == 1)
    #expect(number(headers.table, at: section + 44, 4) == UInt64(count + 1))
  }
}

@Suite struct CoreNotesTests {
  private struct Note {
    let type: UInt32
    let owner: String
    let content: [UInt8]
  }

  private func notes(_ bytes: [UInt8]) -> [Note] {
    func word(_ offset: Int) -> Int { (0..<4).reduce(0) { $0 | Int(bytes[offset + $1]) << (8 * $1) } }
    var (notes, position) = ([Note](), 0)
    while position < bytes.count {
      let (name, size, type) = (word(position), word(position + 4), word(position + 8))
      let content = position + 12 + (name + 3) / 4 * 4
      notes.append(
        Note(
          type: UInt32(type),
          owner: String(decoding: bytes[position + 12..<position + 11 + name], as: UTF8.self),
          content: Array(bytes[content..<content + size])))
      position = content + (size + 3) / 4 * 4
    }
    return notes
  }

  private var process: CoreProcess {
    var process = CoreProcess(pid: 4711)
    process.command = Array("a name that is too long".utf8)
    process.arguments = Array(repeating: UInt8(ascii: "x"), count: 100)
    process.auxiliaryVector = [1, 2, 3]
    process.threads = [Int32(4711), 4712].map { id in
      var thread = CoreProcess.Thread(id: id, registers: Array(repeating: UInt8(id &- 4700), count: 216))
      thread.sets = [.init(type: 2, bytes: [9]), .init(type: 0x202, bytes: [8, 8])]
      thread.blockedSignals = 0x55
      return thread
    }
    process.files = [.init(range: 4096..<8192, pageOffset: 3, path: Array("/a".utf8))]
    return process
  }

  @Test func `come in the kernel's order`() {
    let found = notes(CoreNotes(of: process, machine: .x86, pageSize: 4096).bytes)
    #expect(
      found.map(\.type) == [1, 3, 0x5349_4749, 6, 0x4649_4c45, 2, 0x202, 1, 2, 0x202])
    #expect(
      found.map(\.owner) == [
        "CORE", "CORE", "CORE", "CORE", "CORE", "CORE", "LINUX", "CORE", "CORE", "LINUX",
      ])
    #expect(found.map(\.content.count) == [336, 136, 128, 3, 43, 1, 2, 336, 1, 2])
  }

  @Test func `have each thread's registers and blocked signals where debuggers look`() {
    let found = notes(CoreNotes(of: process, machine: .x86, pageSize: 4096).bytes)
    for (note, id) in [(found[0], UInt8(11)), (found[7], 12)] {
      #expect(note.content[24] == 0x55)
      #expect(note.content[32..<36] == [UInt8(truncatingIfNeeded: 4700 + Int(id)), 18, 0, 0])
      #expect(note.content[112..<328].allSatisfy { $0 == id })
      // There are floating-point registers.
      #expect(note.content[328] == 1)
    }
  }

  @Test func `cut names to their room`() {
    let info = notes(CoreNotes(of: process, machine: .x86, pageSize: 4096).bytes)[1].content
    #expect(Array(info[40..<56]) == Array("a name that is ".utf8) + [0])
    #expect(info[56..<135].allSatisfy { $0 == UInt8(ascii: "x") } && info[135] == 0)
  }

  @Test func `have the layouts of 64-bit ARM, too`() {
    var process = process
    for index in process.threads.indices {
      process.threads[index].registers = Array(repeating: 1, count: 272)
    }
    #expect(notes(CoreNotes(of: process, machine: .arm, pageSize: 4096).bytes)[0].content.count == 392)
  }
}
