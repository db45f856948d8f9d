import Foundation
import Glibc
import SluiceImages
import SluiceTestSupport
import Testing

@testable import Sluice

extension StagesTests {
  /// Cores of a checkpoint that the real CRIU has made: Tests/Checkpoints.
  @Suite("Cores of checkpoints", .timeLimit(.minutes(5)))
  struct CheckpointTests {
    static let images = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent().appending(path: "Checkpoints/small").path
    static let pid: Int32 = 12502
    static let second: Int32 = 12504

    @Test func registersAreThoseOfTheProcess() async throws {
      try await withTemporaryDirectory { directory in
        let report = try await core(of: Self.images, "\(directory)/core")
        #expect(report.pid == Self.pid && report.threads == 2)
        let core = try CoreReader("\(directory)/core")
        #expect(core.notes.map(\.type) == [1, 3, 0x5349_4749, 6, 0x4649_4c45, 2, 0x202, 1, 2, 0x202])
        let states = core.notes.filter { $0.type == 1 }.map(\.content)
        let bases: [UInt64] = [0x1111 << 48, 0x2222 << 48]
        for (state, base, id) in zip3(states, bases, [Self.pid, Self.second]) {
          #expect(state.count == 336)
          #expect(state.word(32) == UInt64(id))
          // r15 to r12, bp, bx, r11 to r8, ax, cx, dx, si, di, orig_ax.
          let expected: [UInt64] = [15, 14, 13, 12, 7, 2, 11, 10, 9, 8, 1, 3, 4, 5, 6]
          #expect((0..<15).map { state.word(112 + 8 * $0) } == expected.map { base + $0 })
          #expect(state.word(112 + 8 * 17) == 0x33)
        }
        // The first thread has its own mask, and a signal that waits; the second has taken none of it.
        #expect(states[0].word(24) == 1 << 11 | 1 << 14 && states[1].word(24) == 0)
        #expect(states[0].word(16) & 1 << 11 != 0)
        #expect(states[0].word(112 + 8 * 21) == 0x1_0000_3100)
        #expect(states[1].word(112 + 8 * 21) == 0x9_0000_0010)
        for (set, base) in zip(core.notes.filter { $0.type == 2 }.map(\.content), bases) {
          #expect(set.count == 512)
          // Pi, in ten bytes, and the vectors' low halves.
          #expect(Array(set[32..<42]) == [0x35, 0xc2, 0x68, 0x21, 0xa2, 0xda, 0x0f, 0xc9, 0x00, 0x40])
          for number in 0..<16 { #expect(set.word(160 + 16 * number) == base + 0x100 + UInt64(number)) }
        }
        for (set, base) in zip(core.notes.filter { $0.type == 0x202 }.map(\.content), bases) {
          #expect(set.count == 2688)
          #expect(set.word(464) == 0xe7 && set.word(512) == 0xe7)
          for number in 0..<16 {
            #expect(set.word(576 + 16 * number) == base + 0x100 + UInt64(number))
            #expect(set.word(1152 + 32 * number) == base + 0x100 + UInt64(number))
            #expect(set.word(1664 + 64 * number + 56) == base + 0x110 + UInt64(number))
          }
          for number in 0..<8 { #expect(set.word(1088 + 8 * number) == base + 0x200 + UInt64(number)) }
        }
        let info = try #require(core.notes.first { $0.type == 3 }).content
        #expect(info.word(24) & 0xffff_ffff == UInt64(Self.pid))
        #expect(String(decoding: info[40..<52], as: UTF8.self) == "small-target")
        #expect(String(decoding: info[56..<56 + 26], as: UTF8.self) == "./small-target an argument")
        #expect(info[56 + 26] == 0)
      }
    }

    @Test func memoryIsThatOfTheProcess() async throws {
      try await withTemporaryDirectory { directory in
        let report = try await core(of: Self.images, "\(directory)/core")
        let core = try CoreReader("\(directory)/core")
        for page in 0..<64 as Range<UInt64> {
          let expected: UInt64 = [3, 7, 8, 9].contains(page) ? 0x1000 + page : 0
          #expect(core.word(0x1_0000_0000 + page << 12) == expected)
        }
        #expect(core.word(0x2_0000_0000) == 0x2001)
        #expect(core.word(0x2_8000_0010) == 0x2002)
        // In between more is left out than a hole of a file is made of.
        #expect(core.word(0x2_4000_0000) == nil)
        #expect(report.bytes < 2 << 30)
        #expect(core.word(0x5_0000_5000) == 0x5005)
        #expect(core.word(0x5_0000_4000) == 0)
        #expect(core.word(0x6_0000_0000) == nil)
        #expect(core.word(0x7_0000_0000) == nil)
        // The C library's name of the kernel's own code: an ELF file.
        let vdso = try #require(core.segments.first { $0.permissions == 5 && $0.saved == 0x2000 })
        #expect(core.word(vdso.start).map { $0 & 0xffff_ffff } == 0x464c_457f)
        // Every mapping has a header; none but [vsyscall] is left out.
        for address in [0x40_0000, 0x40_1000, 0x1_0003_f000, 0x2_bfff_f000, 0x6_0000_3000, 0x7_03ff_f000]
          as [UInt64]
        {
          #expect(
            core.segments.contains { $0.start <= address && address < $0.start + $0.size }, "\(address)")
        }
        for (one, next) in zip(core.segments, core.segments.dropFirst()) {
          #expect(one.start + one.size <= next.start)
        }
        let files = try #require(core.notes.first { $0.type == 0x4649_4c45 }).content
        #expect(files.word(8) == 4096)
        #expect(String(decoding: files, as: UTF8.self).contains("/small-target\0"))
        // So much as it holds, and a little.
        var status = stat()
        #expect(unsafe stat("\(directory)/core", &status) == 0)
        #expect(Int(status.st_blocks) * 512 < 512 << 10)
      }
    }

    @Test func debuggersReadIt() async throws {
      try await withTemporaryDirectory { directory in
        try await core(of: Self.images, "\(directory)/core")
        let asked = [
          "thread 2", "p/x $r15", "p/x $zmm17.v8_int64[7]", "p/x $k3", "x/gx 0x280000010", "info threads",
        ]
        let gdb = try await Command(
          installed: "gdb",
          ["-nx", "-q", "-batch"] + asked.flatMap { ["-ex", $0] } + ["-c", "\(directory)/core"]
        ).run()
        #expect(gdb.output.contains("0x222200000000000f"), "\(gdb)")
        #expect(gdb.output.contains("0x2222000000000111"), "\(gdb)")
        #expect(gdb.output.contains("0x2222000000000203"), "\(gdb)")
        #expect(gdb.output.contains("0x0000000000002002"), "\(gdb)")
        #expect(gdb.output.contains("LWP \(Self.pid)") && gdb.output.contains("LWP \(Self.second)"), "\(gdb)")
        let elfutils = try await Command(installed: "eu-readelf", ["-n", "-l", "\(directory)/core"]).run()
        #expect(elfutils.end == .exited(0))
        #expect(elfutils.errors == "")
        #expect(elfutils.output.contains("psargs: ./small-target an argument"))
      }
    }

    @Test func pagesOfTheParentAreInIt() async throws {
      try await withTemporaryDirectory { directory in
        try await core(of: Self.images, "\(directory)/whole")
        // A dump on top of these images, in which nothing has changed.
        try copyImages(to: "\(directory)/1")
        try copyImages(to: "\(directory)/2")
        try FileManager.default.createSymbolicLink(
          atPath: "\(directory)/2/parent", withDestinationPath: "../1")
        for name in ["pagemap-\(Self.pid).img", "pagemap-shmem-10250.img"] {
          let path = "\(directory)/2/\(name)"
          var bytes = try [UInt8](Data(contentsOf: URL(filePath: path)))
          // The flags, field 4, of each entry: in the parent, and nowhere else.
          var at = 8 + 4 + Int(bytes[8])
          while at < bytes.count {
            let end = at + 4 + Int(bytes[at])
            let flags = try #require(
              (at + 4..<end - 1).last { bytes[$0] == 0x20 && [4, 6].contains(bytes[$0 + 1]) })
            bytes[flags + 1] = 1
            at = end
          }
          try Data(bytes).write(to: URL(filePath: path))
        }
        for name in ["pages-1.img", "pages-2.img"] {
          try FileManager.default.removeItem(atPath: "\(directory)/2/\(name)")
        }
        try await core(of: "\(directory)/2", "\(directory)/upon")
        #expect(FileManager.default.contentsEqual(atPath: "\(directory)/whole", andPath: "\(directory)/upon"))
        // Without the parent that is noticed.
        try FileManager.default.removeItem(atPath: "\(directory)/1/pages-2.img")
        let error = await #expect(throws: SluiceError.self) {
          try await core(of: "\(directory)/2", "\(directory)/x")
        }
        #expect([.malformedImages, .io].contains(error?.code))
      }
    }

    @Test func whatIsWrongIsSaid() async throws {
      try await withTemporaryDirectory { directory in
        let chain = try RandomChain(seed: 1, depth: 1, in: directory)
        let preDump = await #expect(throws: SluiceError.self) {
          try await core(of: chain.newest, "\(directory)/core")
        }
        #expect(preDump?.code == .malformedImages)
        #expect(preDump?.message.contains("only images of a final dump") == true)
        let other = await #expect(throws: SluiceError.self) {
          try await core(of: Self.images, "\(directory)/other", pid: 1)
        }
        #expect(other?.code == .notFound)
        let nowhere = await #expect(throws: SluiceError.self) {
          try await core(of: "\(directory)/nowhere", "\(directory)/y")
        }
        #expect(nowhere?.code == .notFound)
        #expect(try await CheckpointCore(directory: Self.images).processes().map(\.threads) == [2])
        // Two processes in one list.
        try copyImages(to: "\(directory)/two")
        let list = try Data(contentsOf: URL(filePath: "\(directory)/two/pstree.img"))
        try (list + list[8...]).write(to: URL(filePath: "\(directory)/two/pstree.img"))
        let two = await #expect(throws: SluiceError.self) {
          try await core(of: "\(directory)/two", "\(directory)/z")
        }
        #expect(two?.code == .invalidArgument)
        let full = await #expect(throws: SluiceError.self) { try await core(of: Self.images, "/dev/full") }
        #expect(full?.code == .invalidArgument)
      }
    }

    /// Images may come from anywhere.
    @Test(arguments: ["pstree", "core-12502", "core-12504", "mm-12502", "files", "memfd", "pagemap-12502"])
    func brokenImagesAreAnErrorOrACore(name: String) async throws {
      try await withTemporaryDirectory { directory in
        try copyImages(to: "\(directory)/images")
        let path = URL(filePath: "\(directory)/images/\(name).img")
        let whole = try Data(contentsOf: path)
        var random = SplitMix(seed: 3)
        var (refused, tries) = (0, 0)
        let cuts = stride(from: 0, to: whole.count, by: max(1, whole.count / 40)).map { whole[..<$0] }
        let flips = (0..<80).map { _ in
          var bytes = whole
          for _ in 0...Int(random.next() % 3) {
            bytes[8 + Int(random.next() % UInt64(whole.count - 8))] = UInt8(truncatingIfNeeded: random.next())
          }
          return bytes
        }
        let longer = [
          whole + [0xff, 0xff, 0xff, 0xff], whole + [0, 0, 0, 1] + Data(count: 100),
          whole[..<8] + [0, 0, 0x10, 0] + Data(repeating: 0x72, count: 1 << 20),
        ]
        for bytes in cuts + flips + longer {
          try bytes.write(to: path)
          try? FileManager.default.removeItem(atPath: "\(directory)/core")
          tries += 1
          do throws(SluiceError) {
            try await core(of: "\(directory)/images", "\(directory)/core", pid: Self.pid)
          } catch {
            #expect([.malformedImages, .notFound, .io].contains(error.code), "\(error)")
            refused += 1
          }
        }
        #expect(refused >= 5 && tries > 100, "\(name): \(refused) of \(tries)")
      }
    }

    @discardableResult
    private func core(
      of images: String, _ path: String, pid: Int32? = nil
    ) async throws(SluiceError) -> CheckpointCore.Report {
      let output = unsafe open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
      defer { close(output) }
      var checkpoint = CheckpointCore(directory: images)
      checkpoint.trustsParents = true
      return try await checkpoint.run(pid: pid, to: output, outputName: path)
    }

    private func copyImages(to path: String) throws {
      try FileManager.default.copyItem(atPath: Self.images, toPath: path)
    }
  }
}

private func zip3<A, B, C>(_ a: [A], _ b: [B], _ c: [C]) -> [(A, B, C)] {
  zip(a, zip(b, c)).map { ($0, $1.0, $1.1) }
}

/// Reads a core by elf(5), and not by our own code.
private struct CoreReader {
  struct Segment {
    let permissions: UInt32
    let offset: UInt64
    let start: UInt64
    let saved: UInt64
    let size: UInt64
  }

  struct Note {
    let type: UInt32
    let content: [UInt8]
  }

  let segments: [Segment]
  let notes: [Note]
  private let file: FileHandle

  init(_ path: String) throws {
    file = try FileHandle(forReadingFrom: URL(filePath: path))
    let header = try [UInt8](#require(try file.read(upToCount: 64)))
    #expect(Array(header[..<7]) == [0x7f, 0x45, 0x4c, 0x46, 2, 1, 1])
    var segments: [Segment] = []
    var notes: [Note] = []
    for index in 0..<Int(header[56]) + Int(header[57]) << 8 {
      try file.seek(toOffset: header.word(32) + 56 * UInt64(index))
      let entry = try [UInt8](#require(try file.read(upToCount: 56)))
      let kind = entry.word(0)
      guard kind & 0xffff_ffff != 4 else {
        try file.seek(toOffset: entry.word(8))
        var rest = try [UInt8](#require(try file.read(upToCount: Int(entry.word(32)))))[...]
        while rest.count >= 12 {
          let head = Array(rest.prefix(12)) + [0, 0, 0, 0]
          let (name, size) = (Int(head.word(0) & 0xffff_ffff), Int(head.word(0) >> 32))
          rest = rest.dropFirst(12 + (name + 3) / 4 * 4)
          notes.append(Note(type: UInt32(head.word(8) & 0xffff_ffff), content: Array(rest.prefix(size))))
          rest = rest.dropFirst((size + 3) / 4 * 4)
        }
        continue
      }
      segments.append(
        Segment(
          permissions: UInt32(kind >> 32), offset: entry.word(8), start: entry.word(16),
          saved: entry.word(32),
          size: entry.word(40)))
    }
    (self.segments, self.notes) = (segments, notes)
  }

  /// A word of memory; nil where the core has it not.
  func word(_ address: UInt64) -> UInt64? {
    guard let segment = segments.first(where: { $0.start <= address && address + 8 <= $0.start + $0.saved }),
      (try? file.seek(toOffset: segment.offset + address - segment.start)) != nil,
      let bytes = try? file.read(upToCount: 8), bytes.count == 8
    else { return nil }
    return [UInt8](bytes).word(0)
  }
}

extension [UInt8] {
  fileprivate func word(_ at: Int) -> UInt64 {
    (0..<8).reduce(0) { $0 | UInt64(self[at + $1]) << (8 * UInt64($1)) }
  }
}
