import Foundation
import Glibc
import SluiceTestSupport
import Testing

@testable import Sluice

extension StagesTests {
  /// What becomes of files with holes, by our own hands and by the command zstd.
  @Suite("Compression of cores", .timeLimit(.minutes(5)))
  struct CoreCompressionTests {
    @Test(arguments: [(1, 1, 64), (3, 2, 64), (9, 1, 64), (3, 4, 16), (1, 2, 2)])
    func everybodyExpandsItToTheSame(level: Int, threads: Int, megabytes: Int) async throws {
      try await withTemporaryDirectory { directory in
        let file = try SparseFile.some(at: "\(directory)/core")
        let report = try await compress(file.path, "\(file.path).zst") {
          $0.level = level
          $0.threads = threads
          $0.memoryBudget = megabytes << 20
        }
        #expect(report.bytes == file.byteCount)
        #expect(report.isSeekable)
        #expect(report.compressedBytes == UInt64(try #require(fileSize("\(file.path).zst"))))
        // Holes of less than a megabyte are compressed.
        #expect(report.holeBytes == SparseFile.largeHoleBytes)
        try await zstd(["-q", "-t", "\(file.path).zst"])
        try await zstd(["-q", "-d", "\(file.path).zst", "-o", "\(directory)/theirs"])
        #expect(try await areEqual(file.path, "\(directory)/theirs"))
        let expanded = try await expand("\(file.path).zst", "\(directory)/ours") {
          $0.threads = threads
          $0.memoryBudget = megabytes << 20
        }
        #expect(expanded.bytes == file.byteCount)
        #expect(expanded.threads == threads || megabytes < 64)
        #expect(try await areEqual(file.path, "\(directory)/ours"))
        #expect(try allocated("\(directory)/ours") <= allocated(file.path) + 64 << 10)
      }
    }

    @Test func whatTheCommandMakesIsExpandedByOneThread() async throws {
      try await withTemporaryDirectory { directory in
        let file = try SparseFile.some(at: "\(directory)/core")
        try await zstd(["-q", "-1", file.path, "-o", "\(directory)/one"])
        // Two frames one after another, as `cat` makes them, with something in between that is to be skipped.
        let parts = try [
          Data(contentsOf: URL(filePath: "\(directory)/one")),
          Data([0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3]),
        ]
        try (parts[0] + parts[1] + parts[0]).write(to: URL(filePath: "\(directory)/two"))
        let one = try await expand("\(directory)/one", "\(directory)/ours")
        #expect(one.threads == 1)
        #expect(try await areEqual(file.path, "\(directory)/ours"))
        #expect(try allocated("\(directory)/ours") <= allocated(file.path) + 64 << 10)
        let two = try await expand("\(directory)/two", "\(directory)/twice")
        #expect(two.bytes == 2 * file.byteCount)
        #expect(two.holeBytes == 2 * one.holeBytes)
      }
    }

    @Test func pipesDoAtBothEnds() async throws {
      try await withTemporaryDirectory { directory in
        let file = try SparseFile.some(at: "\(directory)/core")
        let compressed = try Pipe.ends()
        let expanded = try Pipe.ends()
        async let made: Void = {
          let input = try SparseFile.open(file.path)
          defer {
            close(input)
            close(compressed.write)
          }
          _ = try await CoreCompression().run(
            from: input, to: compressed.write, inputName: "core", outputName: "pipe")
        }()
        async let gone: Void = {
          defer {
            close(compressed.read)
            close(expanded.write)
          }
          _ = try await CoreExpansion().run(
            from: compressed.read, to: expanded.write, inputName: "pipe", outputName: "pipe")
        }()
        let read = Task.detached { try await drain(expanded.read) }
        try await made
        try await gone
        #expect(try await read.value == FileManager.default.contents(atPath: file.path))
      }
    }

    @Test func aHoleOfATerabyteCostsLittle() async throws {
      try await withTemporaryDirectory { directory in
        let file = try SparseFile(at: "\(directory)/core", byteCount: 1 << 40 + 5000)
        try file.fill(1 << 40..<1 << 40 + 5000, seed: 7)
        let start = ContinuousClock.now
        let report = try await compress(file.path, "\(file.path).zst")
        let middle = ContinuousClock.now
        #expect(report.holeBytes == 1 << 40)
        #expect(report.compressedBytes < 33 << 20)
        let expanded = try await expand("\(file.path).zst", "\(directory)/ours")
        let end = ContinuousClock.now
        print(
          "1 TiB: compressed in \(middle - start) to \(report.compressedBytes) bytes, expanded in \(end - middle)"
        )
        #expect(middle - start < .seconds(20) && end - middle < .seconds(20))
        #expect(expanded.bytes == file.byteCount)
        #expect(try allocated("\(directory)/ours") < 64 << 10)
        let ours = try SparseFile.open("\(directory)/ours")
        defer { close(ours) }
        let theirs = try SparseFile.open(file.path)
        defer { close(theirs) }
        #expect(try bytes(ours, at: 1 << 40, 5000) == bytes(theirs, at: 1 << 40, 5000))
        // The command adds up what the frames say.
        let list = try await Command(installed: "zstd", ["-l", "-v", "\(file.path).zst"]).run()
        #expect(list.output.contains("(\(file.byteCount) B)"), "\(list.output)")
      }
    }

    @Test func theCommandExpandsLargeHoles() async throws {
      try await withTemporaryDirectory { directory in
        let file = try SparseFile(at: "\(directory)/core", byteCount: 3 << 30 + 12345)
        try file.fill(2 << 30 + 77..<2 << 30 + 9000, seed: 3)
        _ = try await compress(file.path, "\(file.path).zst")
        try await zstd(["-q", "-d", "\(file.path).zst", "-o", "\(directory)/theirs"])
        #expect(try await areEqual(file.path, "\(directory)/theirs"))
        #expect(try allocated("\(directory)/theirs") < 1 << 20)
      }
    }

    @Test func anEmptyFileStaysOne() async throws {
      try await withTemporaryDirectory { directory in
        let file = try SparseFile(at: "\(directory)/core", byteCount: 0)
        let report = try await compress(file.path, "\(file.path).zst")
        #expect(report.frames == 0)
        #expect(try await expand("\(file.path).zst", "\(directory)/ours").bytes == 0)
        try await zstd(["-q", "-t", "\(file.path).zst"])
      }
    }

    @Test func aTableThatDoesNotFitIsLeftOut() async throws {
      try await withTemporaryDirectory { directory in
        let file = try SparseFile(at: "\(directory)/core", byteCount: 20_000 << 20)
        for part in 0..<9_000 { try file.fill(UInt64(part) << 21..<UInt64(part) << 21 + 8, seed: 1) }
        let report = try await compress(file.path, "\(file.path).zst") {
          $0.memoryBudget = 8 << 20
          $0.level = 1
        }
        // The table has a sixteenth of the memory.
        #expect(report.frames > 8 << 20 / 16 / 8 / 4)
        #expect(report.isSeekable)
        let small = try await compress(file.path, "\(file.path).small.zst") {
          $0.memoryBudget = 2 << 20
          $0.level = 1
        }
        #expect(!small.isSeekable)
        try await zstd(["-q", "-t", "\(file.path).small.zst"])
        try await zstd(["-q", "-t", "\(file.path).zst"])
      }
    }

    // MARK: What is not right

    @Test func everyCutIsNoticed() async throws {
      try await withTemporaryDirectory { directory in
        let file = try SparseFile(at: "\(directory)/core", byteCount: 3 << 20)
        try file.fill(100..<9000, seed: 5)
        let report = try await compress(file.path, "\(file.path).zst")
        let whole = try Data(contentsOf: URL(filePath: "\(file.path).zst"))
        let table = whole.count - 17 - 8 * Int(report.frames)
        for length in stride(from: 0, to: whole.count, by: 61) where length != table {
          try whole[..<length].write(to: URL(filePath: "\(directory)/cut"))
          try? FileManager.default.removeItem(atPath: "\(directory)/ours")
          let error = await #expect(throws: SluiceError.self) {
            try await expand("\(directory)/cut", "\(directory)/ours")
          }
          #expect(error?.code == .malformedImages, "\(length): \(String(describing: error))")
        }
      }
    }

    @Test func flippedBytesAreNoticedOrHarmless() async throws {
      try await withTemporaryDirectory { directory in
        let file = try SparseFile(at: "\(directory)/core", byteCount: 300_000)
        try file.fill(0..<300_000, seed: 5)
        _ = try await compress(file.path, "\(file.path).zst") { $0.memoryBudget = 2 << 20 }
        let whole = try Data(contentsOf: URL(filePath: "\(file.path).zst"))
        var random = SplitMix(seed: 11)
        var refused = 0
        for _ in 0..<300 {
          var bytes = whole
          // Half of them in the table and in front of it, where the structure is.
          let end = random.next() % 2 == 0 ? whole.count : 60
          let at = whole.count - 1 - Int(random.next() % UInt64(end))
          bytes[at] ^= UInt8(truncatingIfNeeded: 1 << (random.next() % 8))
          try bytes.write(to: URL(filePath: "\(directory)/flipped"))
          try? FileManager.default.removeItem(atPath: "\(directory)/ours")
          switch await outcome("\(directory)/flipped", "\(directory)/ours") {
          case .success:
            #expect(try await areEqual(file.path, "\(directory)/ours"), "byte \(at) of \(whole.count)")
          case .failure(let error):
            #expect([.malformedImages, .invalidArgument].contains(error.code), "\(error)")
            refused += 1
          }
        }
        #expect(refused > 100)
      }
    }

    @Test func randomBytesAreRefused() async throws {
      try await withTemporaryDirectory { directory in
        var random = SplitMix(seed: 12)
        for length in [1, 4, 9, 17, 100, 70_000] {
          var bytes = Data((0..<length).map { _ in UInt8(truncatingIfNeeded: random.next()) })
          if length > 4 { bytes.replaceSubrange(0..<4, with: [0x28, 0xb5, 0x2f, 0xfd]) }
          try bytes.write(to: URL(filePath: "\(directory)/garbage"))
          try? FileManager.default.removeItem(atPath: "\(directory)/ours")
          let error = await #expect(throws: SluiceError.self) {
            try await expand("\(directory)/garbage", "\(directory)/ours")
          }
          #expect([.malformedImages, .invalidArgument].contains(error?.code), "\(String(describing: error))")
        }
      }
    }

    /// Tables of frames that lie of frames that are right.
    @Test func aTableThatLiesIsNotBelieved() async throws {
      try await withTemporaryDirectory { directory in
        let file = try SparseFile(at: "\(directory)/core", byteCount: 6 << 20)
        try file.fill(0..<5000, seed: 1)
        try file.fill(5 << 20..<6 << 20, seed: 2)
        let report = try await compress(file.path, "\(file.path).zst")
        let whole = try Data(contentsOf: URL(filePath: "\(file.path).zst"))
        let entries = whole.count - 9 - 8 * Int(report.frames)
        // A content that is longer, one that is shorter, and one that is far too long.
        for (entry, expanded) in [(0, UInt32(5001)), (0, 4999), (1, 1 << 31), (1, 0), (2, .max), (2, 1)] {
          var bytes = whole
          unsafe withUnsafeBytes(of: expanded.littleEndian) {
            unsafe bytes.replaceSubrange(entries + 8 * entry + 4..<entries + 8 * entry + 8, with: $0)
          }
          try bytes.write(to: URL(filePath: "\(directory)/lies"))
          try? FileManager.default.removeItem(atPath: "\(directory)/ours")
          switch await outcome("\(directory)/lies", "\(directory)/ours") {
          case .success:
            #expect(try await areEqual(file.path, "\(directory)/ours"), "entry \(entry) \(expanded)")
          case .failure(let error): #expect(error.code == .malformedImages, "\(error)")
          }
        }
        // The number of frames, a length of another one, a bit that is reserved: no table, but a stream that is right.
        for at in [whole.count - 9, whole.count - 6, whole.count - 5, entries] {
          var bytes = whole
          bytes[at] ^= 4
          try bytes.write(to: URL(filePath: "\(directory)/lies"))
          try? FileManager.default.removeItem(atPath: "\(directory)/ours")
          let report = try await expand("\(directory)/lies", "\(directory)/ours") { $0.threads = 3 }
          #expect(report.threads == 1)
          #expect(try await areEqual(file.path, "\(directory)/ours"))
        }
      }
    }

    @Test func whatHasTheLengthOfAHoleNeedNotBeOne() async throws {
      try await withTemporaryDirectory { directory in
        // Ones instead of zeros, more than a thread has memory for.
        var frame = HoleFrame.make(of: 64 << 20)
        for at in stride(from: 14 + 3, to: frame.count, by: 4) { frame[at] = 1 }
        var table = SeekTable.Writer(mostBytes: 1000)
        table.add(SeekTable.Entry(compressed: UInt32(frame.count), expanded: 64 << 20))
        try Data(frame + table.finish()).write(to: URL(filePath: "\(directory)/ones"))
        let report = try await expand("\(directory)/ones", "\(directory)/ours")
        #expect(report.bytes == 64 << 20)
        let ours = try SparseFile.open("\(directory)/ours")
        defer { close(ours) }
        #expect(try bytes(ours, at: 1 << 20, 3) == [1, 1, 1])
        let error = await #expect(throws: SluiceError.self) {
          try await expand("\(directory)/ones", "\(directory)/short") { $0.mostBytes = 64 << 20 - 1 }
        }
        #expect(error?.code == .malformedImages)
      }
    }

    @Test func aWindowThatTakesTooMuchMemoryIsRefused() async throws {
      try await withTemporaryDirectory { directory in
        let file = try SparseFile(at: "\(directory)/core", byteCount: 130 << 20)
        try file.fill(0..<1 << 20, seed: 1)
        try await zstd(["-q", "-1", "--long=27", file.path, "-o", "\(file.path).zst"])
        let error = await #expect(throws: SluiceError.self) {
          try await expand("\(file.path).zst", "\(directory)/ours")
        }
        #expect(error?.code == .invalidArgument)
        #expect(error?.message.contains("more memory than the budget") == true)
        try? FileManager.default.removeItem(atPath: "\(directory)/ours")
        _ = try await expand("\(file.path).zst", "\(directory)/ours") { $0.memoryBudget = 160 << 20 }
        #expect(try await areEqual(file.path, "\(directory)/ours"))
      }
    }

    @Test func whatCannotBeWrittenIsAnError() async throws {
      try await withTemporaryDirectory { directory in
        let file = try SparseFile.some(at: "\(directory)/core")
        let full = unsafe open("/dev/full", O_WRONLY | O_CLOEXEC)
        defer { close(full) }
        let input = try SparseFile.open(file.path)
        defer { close(input) }
        let error = await #expect(throws: SluiceError.self) {
          try await CoreCompression().run(from: input, to: full, inputName: "core", outputName: "full")
        }
        #expect(error?.code == .io)
        #expect(error?.message.contains("ENOSPC") == true)
        let taken = await #expect(throws: SluiceError.self) {
          _ = try await CoreExpansion().run(from: input, to: input, inputName: "core", outputName: "core")
        }
        #expect(taken?.code == .invalidArgument)
        let small = await #expect(throws: SluiceError.self) {
          try await compress(file.path, "\(directory)/x") { $0.memoryBudget = 1 << 20 }
        }
        #expect(small?.code == .invalidArgument)
        let level = await #expect(throws: SluiceError.self) {
          try await compress(file.path, "\(directory)/y") { $0.level = 10 }
        }
        #expect(level?.code == .invalidArgument)
      }
    }

    @Test func cancellationEndsIt() async throws {
      try await withTemporaryDirectory { directory in
        let file = try SparseFile(at: "\(directory)/core", byteCount: 96 << 20)
        try file.fill(0..<96 << 20, seed: 4)
        let task = Task { try await compress(file.path, "\(file.path).zst") { $0.level = 9 } }
        try await Task.sleep(for: .milliseconds(200))
        let start = ContinuousClock.now
        task.cancel()
        let error = await #expect(throws: SluiceError.self) { try await task.value }
        #expect(error?.code == .cancelled)
        #expect(error?.message == "the compression was cancelled")
        #expect(ContinuousClock.now - start < .seconds(5))
      }
    }

    @Test func nobodyWaitsForAPipeThatNobodyReads() async throws {
      try await withTemporaryDirectory { directory in
        let file = try SparseFile.some(at: "\(directory)/core")
        let pipe = try Pipe.ends()
        defer { close(pipe.write) }
        let input = try SparseFile.open(file.path)
        defer { close(input) }
        let task = Task {
          try await CoreCompression().run(from: input, to: pipe.write, inputName: "core", outputName: "pipe")
        }
        try await Task.sleep(for: .milliseconds(300))
        task.cancel()
        let error = await #expect(throws: SluiceError.self) { try await task.value }
        #expect(error?.code == .cancelled)
        // What is left behind ends when the pipe does.
        _ = signal(SIGPIPE, SIG_IGN)
        close(pipe.read)
      }
    }

    // MARK: Help

    @discardableResult
    private func compress(
      _ from: String, _ to: String, _ change: (inout CoreCompression) -> Void = { _ in }
    ) async throws(SluiceError) -> CoreCompression.Report {
      var compression = CoreCompression()
      change(&compression)
      let (input, output) = unsafe (
        open(from, O_RDONLY | O_CLOEXEC), open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
      )
      defer {
        close(input)
        close(output)
      }
      return try await compression.run(from: input, to: output, inputName: from, outputName: to)
    }

    @discardableResult
    private func expand(
      _ from: String, _ to: String, _ change: (inout CoreExpansion) -> Void = { _ in }
    ) async throws(SluiceError) -> CoreExpansion.Report {
      var expansion = CoreExpansion()
      expansion.threads = 2
      change(&expansion)
      let (input, output) = unsafe (
        open(from, O_RDONLY | O_CLOEXEC), open(to, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
      )
      defer {
        close(input)
        close(output)
      }
      return try await expansion.run(from: input, to: output, inputName: from, outputName: to)
    }

    private func outcome(_ from: String, _ to: String) async -> Result<CoreExpansion.Report, SluiceError> {
      await Result { () async throws(SluiceError) in try await expand(from, to) }
    }

    private func zstd(_ arguments: [String]) async throws {
      let result = try await Command(installed: "zstd", arguments).run()
      guard result.end == .exited(0) else { throw TestFailure("zstd \(arguments): \(result.errors)") }
    }

    private func areEqual(_ one: String, _ other: String) async throws -> Bool {
      try await Command(installed: "cmp", [one, other]).run().end == .exited(0)
    }

    private func allocated(_ path: String) throws -> Int {
      var status = stat()
      guard unsafe stat(path, &status) == 0 else { throw TestFailure("\(path): \(errno)") }
      return Int(status.st_blocks) * 512
    }

    private func bytes(_ descriptor: Int32, at offset: Int, _ count: Int) throws -> [UInt8] {
      var bytes = [UInt8](repeating: 0, count: count)
      guard unsafe pread(descriptor, &bytes, count, off_t(offset)) == count else {
        throw TestFailure("pread: \(errno)")
      }
      return bytes
    }
  }
}

/// Everything that comes out of a pipe.
private func drain(_ descriptor: Int32) async throws -> Data {
  defer { close(descriptor) }
  var all = Data()
  var part = [UInt8](repeating: 0, count: 1 << 16)
  while true {
    let got = unsafe read(descriptor, &part, part.count)
    guard got >= 0 else { throw TestFailure("read: \(errno)") }
    if got == 0 { return all }
    all.append(contentsOf: part[..<got])
  }
}

private enum Pipe {
  static func ends() throws -> (read: Int32, write: Int32) {
    var ends: [Int32] = [0, 0]
    guard unsafe pipe(&ends) == 0 else { throw TestFailure("pipe: \(errno)") }
    return (ends[0], ends[1])
  }
}

/// A file with holes.
private struct SparseFile {
  let path: String
  let byteCount: UInt64

  static func open(_ path: String) throws -> Int32 {
    let descriptor = unsafe Glibc.open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw TestFailure("\(path): \(errno)") }
    return descriptor
  }

  init(at path: String, byteCount: UInt64) throws {
    self.path = path
    self.byteCount = byteCount
    let descriptor = unsafe Glibc.open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
    guard descriptor >= 0, ftruncate(descriptor, off_t(byteCount)) == 0 else {
      throw TestFailure("\(path): \(errno)")
    }
    close(descriptor)
  }

  /// Bytes that compress, but not to nothing.
  func fill(_ range: Range<UInt64>, seed: UInt64) throws {
    let descriptor = unsafe Glibc.open(path, O_WRONLY | O_CLOEXEC)
    defer { close(descriptor) }
    var random = SplitMix(seed: seed)
    var offset = range.lowerBound
    while offset < range.upperBound {
      var words: [UInt64] = []
      let count = Int(min(1 << 20, range.upperBound - offset))
      for _ in 0..<(count + 7) / 8 {
        let word = random.next()
        words.append(word & 0x3f3f << (word >> 59))
      }
      guard unsafe pwrite(descriptor, words, count, off_t(offset)) == count else {
        throw TestFailure("pwrite: \(errno)")
      }
      offset += UInt64(count)
    }
  }

  static let largeHoleBytes: UInt64 = 5 << 20 - 4096 + 7 << 20 + 13 - 4096

  /// Data, small holes, a large one, a page, another large one to the end.
  static func some(at path: String) throws -> SparseFile {
    let file = try SparseFile(at: path, byteCount: 22 << 20 + 13)
    try file.fill(0..<9 << 20, seed: 1)
    try file.fill(9 << 20 + 64 << 10..<10 << 20, seed: 2)
    try file.fill(15 << 20 - 4096..<15 << 20 - 1000, seed: 3)
    try file.fill(15 << 20..<15 << 20 + 4096, seed: 4)
    return file
  }
}
