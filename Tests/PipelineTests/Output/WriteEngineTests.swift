import CSluiceLinux
import Foundation
import SluiceTestSupport
import Testing

@testable import SluicePipeline

/// What both engines promise.
@Suite(.timeLimit(.minutes(15))) struct WriteEngineTests {
  private static let pageSize = Int(sluice_page_size())

  private static func withUser(
    of kind: EngineKind, depth: Int, chunkBytes: Int = pageSize, _ body: (EngineUser) async throws -> Void
  ) async throws {
    let ring = try BufferRing(
      layout: BufferLayout(count: depth, chunkBytes: chunkBytes, pageSize: pageSize))
    let engine = try kind.makeEngine(depth: depth, ring: ring)
    defer { engine.shutdown() }
    let user = EngineUser(of: engine, ring: ring)
    await user.listen()
    try await body(user)
    #expect(ring.takenCount == 0)
  }

  @Test(arguments: EngineKind.allCases, [1, 3, 32])
  func `each write of many submitters completes once, on the engine's thread`(kind: EngineKind, depth: Int)
    async throws
  {
    let (submitters, each) = (8, 50)
    try await withTemporaryDirectory { directory in
      let path = "\(directory)/file"
      let file = unsafe sluice_open_at(sluice_current_directory(), path, SLUICE_OPEN_CREATE)
      defer { _ = sluice_close(file) }
      try await Self.withUser(of: kind, depth: depth) { user in
        await withTaskGroup { group in
          for submitter in 0..<submitters {
            group.addTask {
              for round in 0..<each {
                let page = round * submitters + submitter
                let result = await user.write(
                  Self.byte(page), to: file, at: UInt64(page * Self.pageSize))
                #expect(result == Self.pageSize)
              }
            }
          }
        }
        let name = await user.threadName()
        #expect(await user.completions == [name: submitters * each])
      }
      let written = try [UInt8](Data(contentsOf: URL(filePath: path)))
      let expected = (0..<submitters * each).flatMap {
        [UInt8](repeating: Self.byte($0), count: Self.pageSize)
      }
      #expect(written == expected)
    }
  }

  /// A buffer that the kernel has registered must not be written from with the memory that it had before.
  @Test(arguments: EngineKind.allCases)
  func `a buffer whose memory was given back is written as it is now`(kind: EngineKind) async throws {
    try await withTemporaryDirectory { directory in
      let path = "\(directory)/file"
      let file = unsafe sluice_open_at(sluice_current_directory(), path, SLUICE_OPEN_CREATE)
      defer { _ = sluice_close(file) }
      let ring = try BufferRing(
        layout: BufferLayout(count: 2, chunkBytes: Self.pageSize, pageSize: Self.pageSize))
      let engine = try kind.makeEngine(depth: 2, ring: ring)
      defer { engine.shutdown() }
      let user = EngineUser(of: engine, ring: ring)
      await user.listen()
      for page in 0..<20 {
        #expect(
          await user.write(Self.byte(page), to: file, at: UInt64(page * Self.pageSize)) == Self.pageSize)
        ring.setLimit(0)
        #expect(await ring.waitUntilWithinLimit())
        ring.setLimit(2)
      }
      let written = try [UInt8](Data(contentsOf: URL(filePath: path)))
      #expect(written == (0..<20).flatMap { [UInt8](repeating: Self.byte($0), count: Self.pageSize) })
    }
  }

  private static func byte(_ page: Int) -> UInt8 { UInt8(truncatingIfNeeded: page % 251 + 1) }

  @Test(arguments: EngineKind.allCases)
  func `a write that cannot be says why, and those beside it go on`(kind: EngineKind) async throws {
    let null = unsafe sluice_open_at(sluice_current_directory(), "/dev/null", SLUICE_OPEN_WRITE)
    let full = unsafe sluice_open_at(sluice_current_directory(), "/dev/full", SLUICE_OPEN_WRITE)
    let readOnly = unsafe sluice_open_at(sluice_current_directory(), "/dev/null", SLUICE_OPEN_READ)
    defer { for descriptor in [null, full, readOnly] { _ = sluice_close(descriptor) } }
    try await Self.withUser(of: kind, depth: 4) { user in
      for _ in 0..<50 {
        async let well = user.write(1, to: null, at: 0)
        async let noRoom = user.write(2, to: full, at: 0)
        async let forbidden = user.write(3, to: readOnly, at: 0)
        async let nowhere = user.write(4, to: -1, at: 0)
        let results = await [well, noRoom, forbidden, nowhere]
        #expect(results == [Self.pageSize, -Int(ENOSPC), -Int(EBADF), -Int(EBADF)])
      }
    }
  }

  @Test(.needsRoot, arguments: EngineKind.allCases)
  func `a write that finds room for a part comes short, and the next finds none`(kind: EngineKind)
    async throws
  {
    let disk = try SmallFilesystem(kibibytes: 64, files: 1)
    let file = unsafe sluice_open_at(sluice_current_directory(), "\(disk.path)/file", SLUICE_OPEN_CREATE)
    defer { _ = sluice_close(file) }
    try await Self.withUser(of: kind, depth: 2, chunkBytes: 96 << 10) { user in
      #expect(await user.write(1, to: file, at: 0) == 64 << 10)
      #expect(await user.write(1, to: file, at: 64 << 10) == -Int(ENOSPC))
      // What is there can still be written over.
      #expect(await user.write(2, to: file, at: 0) == 64 << 10)
    }
  }

  @Test(arguments: EngineKind.allCases)
  func `shutdown ends its threads and gives back its descriptors`(kind: EngineKind) async {
    await #expect(processExitsWith: .success) { [kind] in
      func descriptors() -> Int { (names(in: "/proc/self/fd") ?? []).count }
      // What is made once for the whole process is not to be counted.
      try await WriteEngineTests.withUser(of: kind, depth: 4) { _ = await $0.threadName() }
      try await Task.sleep(for: .milliseconds(1))
      let before = descriptors()
      for _ in 0..<50 {
        try await WriteEngineTests.withUser(of: kind, depth: 4) {
          #expect(await $0.write(1, to: -1, at: 0) == -Int(EBADF))
        }
      }
      try await eventually("threads and descriptors are gone") {
        let threads = Kernel.threadIDs.compactMap { Kernel.threadName(id: $0) }
        return descriptors() <= before && !threads.contains { $0.hasPrefix("test-") }
      }
    }
  }

  @Test(arguments: EngineKind.allCases)
  func `starting a write from another thread ends the process`(kind: EngineKind) async {
    await #expect(processExitsWith: .failure) { [kind] in
      let pageSize = Int(sluice_page_size())
      let ring = try BufferRing(layout: BufferLayout(count: 1, chunkBytes: pageSize, pageSize: pageSize))
      let engine = try kind.makeEngine(depth: 1, ring: ring)
      guard let buffer = await ring.take() else { return }
      engine.start(
        unsafe WriteRequest(
          descriptor: -1, bytes: UnsafeRawBufferPointer(buffer.bytes), offset: 0, bufferIndex: 0, token: 0))
      // A failure of its own would be taken for the one that is hoped for.
      engine.shutdown()
    }
  }
}
