import CSluiceLinux
import Glibc
import SluiceTestSupport
import Testing

@testable import SluicePipeline

/// A ring of several parts, of which each node has one.
@Suite("BufferRing of parts", .timeLimit(.minutes(15)))
struct BufferRingPartsTests {
  private static let pageSize = Int(sysconf(Int32(_SC_PAGESIZE)))

  private static func ring(parts: Int, each: Int) throws -> BufferRing {
    try BufferRing(
      layout: BufferLayout(count: parts * each, chunkBytes: 16 * pageSize, pageSize: pageSize), parts: parts)
  }

  @Test func `a buffer is of the part that it was taken from, and goes back there`() async throws {
    let ring = try Self.ring(parts: 3, each: 2)
    for _ in 0..<3 {
      var starts: Set<UInt> = []
      for part in 0..<3 {
        guard let one = await ring.take(from: part), let other = await ring.take(from: part) else {
          throw TestFailure("two buffers are free")
        }
        let parts = [one.part, other.part]
        #expect(parts == [part, part])
        starts.insert(unsafe UInt(bitPattern: one.bytes.baseAddress))
        starts.insert(unsafe UInt(bitPattern: other.bytes.baseAddress))
      }
      #expect(starts.count == 6)
      #expect(ring.takenCount == 0)
    }
  }

  @Test func `who waits for a part gets none of another`() async throws {
    let ring = try Self.ring(parts: 2, each: 1)
    guard let held = await ring.take(from: 1) else { throw TestFailure("a buffer is free") }
    let task = Task { await ring.take(from: 1)?.part }
    _ = await ring.take(from: 0)
    #expect(ring.freestPart == 0)
    _ = consume held
    #expect(await task.value == 1)
    #expect(ring.takenCount == 0)
  }

  @Test func `the limit is divided by the shares`() async throws {
    let ring = try Self.ring(parts: 2, each: 20)
    ring.setLimit(20)
    #expect([ring.limit(of: 0), ring.limit(of: 1)] == [10, 10])
    ring.touch(UInt64(20 * 16 * Self.pageSize))
    #expect(ring.touchedBytes == ring.layout.totalBytes / 2)
    ring.setShares([3, 1])
    // No part grows before what the other gives up is back.
    #expect([ring.limit(of: 0), ring.limit(of: 1)] == [10, 6])
    #expect(await ring.waitUntilWithinLimit())
    ring.setLimit(20)
    #expect([ring.limit(of: 0), ring.limit(of: 1)] == [14, 6])
    #expect(ring.limit == 20)
    ring.setLimit(0)
    #expect(ring.limit == 0)
  }

  @Test func `one who waits gets a buffer when its part grows`() async throws {
    let ring = try Self.ring(parts: 2, each: 8)
    ring.setLimit(0)
    let task = Task { await ring.take(from: 1)?.part }
    await Task.yield()
    ring.setLimit(8)
    #expect(await task.value == 1)
  }

  @Test func `the kernel tells where buffers are`() async throws {
    let ring = try Self.ring(parts: 2, each: 3)
    guard let free = await ring.take() else { throw TestFailure("a buffer is free") }
    let unknown = free.settle()
    #expect(unknown == nil)
    // A kernel that knows no nodes says so.
    let refusals = [ring.place(part: 0, on: 0)?.code, ring.place(part: 1, on: 0)?.code]
    guard refusals == [nil, nil] else {
      #expect(refusals == [ENOSYS, ENOSYS])
      return
    }
    guard let buffer = await ring.take(from: 1) else { throw TestFailure("a buffer is free") }
    let before = unsafe Kernel.residentPages(buffer.bytes)
    #expect(before == 0)
    let found = buffer.settle()
    #expect(found == true)
    let after = unsafe Kernel.residentPages(buffer.bytes)
    #expect(after == 16)
    let known = buffer.settle()
    #expect(known == true)
    #expect(ring.located(part: 1) == .init(onNode: 1, elsewhere: 0))
    #expect(ring.located(part: 0) == .init())
    let policy = unsafe numaPolicy(of: UInt(bitPattern: buffer.bytes.baseAddress))
    #expect(policy == nil || policy?.hasPrefix("prefer") == true, "\(policy ?? "")")
    // Of memory that was given back, nobody knows where it will be.
    _ = consume buffer
    ring.setLimit(0)
    #expect(ring.located(part: 1) == .init())
  }

  @Test func `there is no memory on a node that is not there`() throws {
    let ring = try Self.ring(parts: 2, each: 1)
    #expect(ring.place(part: 0, on: 1000)?.code == EINVAL)
    #expect(ring.place(part: 0, on: 1 << 20)?.code == EINVAL)
  }

  /// The second word of the mapping's line in numa_maps; nil where the kernel has no such file.
  private func numaPolicy(of address: UInt) -> String? {
    guard let file = unsafe fopen("/proc/self/numa_maps", "r") else { return nil }
    defer { unsafe fclose(file) }
    var line: UnsafeMutablePointer<CChar>?
    var capacity = 0
    defer { unsafe free(line) }
    var policy: String?
    while unsafe getline(&line, &capacity, file) > 0, let text = unsafe line {
      let words = unsafe String(cString: text).split(separator: " ")
      guard words.count > 1, let start = UInt(words[0], radix: 16), start <= address else { continue }
      policy = String(words[1])
    }
    return policy
  }
}
