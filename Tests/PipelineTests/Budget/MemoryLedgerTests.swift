import SluiceTestSupport
import Testing

@testable import SluicePipeline

@Suite(.timeLimit(.minutes(5))) struct MemoryLedgerTests {
  private static let pageSize = 4096

  private static func ring(_ count: Int) throws -> BufferRing {
    try BufferRing(layout: BufferLayout(count: count, chunkBytes: 16 * pageSize, pageSize: pageSize))
  }

  private static let bufferBytes = BufferLayout(count: 1, chunkBytes: 16 * pageSize, pageSize: pageSize)
    .totalBytes

  @Test func `a second holder gets its share when the first one's buffers have come home`() async throws {
    let ledger = MemoryLedger(total: 8 * Self.bufferBytes)
    let first = try await ledger.take(fixed: 0, leastForBuffers: Self.bufferBytes, ring: nil)
    #expect(first.bytesForBuffers == 8 * Self.bufferBytes)
    let ring = try Self.ring(8)
    await ledger.use(ring, for: first)
    let buffers = try await Self.takeAll(8, of: ring)
    let second = Task { try await ledger.take(fixed: 0, leastForBuffers: Self.bufferBytes, ring: nil) }
    try await eventually("the first one's ring is to shrink") { ring.limit == 4 }
    #expect(await ring.isWithin(4) == false, "all buffers are out")
    buffers.giveBack()
    let part = try await second.value
    #expect(part.bytesForBuffers == 4 * Self.bufferBytes)
    #expect(await ring.waitUntilWithinLimit())
    await ledger.giveBack(part)
    #expect(ring.limit == 8)
  }

  @Test func `an idle ring gives its memory up to who needs it`() async throws {
    let ledger = MemoryLedger(total: 4 * Self.bufferBytes)
    let first = try await ledger.take(fixed: 0, leastForBuffers: Self.bufferBytes, ring: nil)
    let ring = try Self.ring(4)
    await ledger.use(ring, for: first)
    try await Self.takeAll(4, of: ring).giveBack()
    await ledger.giveBack(first, keeping: ring)
    #expect(ring.limit == 4)
    _ = try await ledger.take(fixed: 0, leastForBuffers: Self.bufferBytes, ring: nil)
    #expect(ring.limit == 0)
    #expect(await ring.waitUntilWithinLimit())
  }

  /// Between the two calls others may come, who know nothing of the buffers that are made meanwhile.
  @Test func `whoever has a part has room for two buffers when it comes with its ring`() async throws {
    let total = 8 * Self.bufferBytes
    let ledger = MemoryLedger(total: total)
    let first = try await ledger.take(fixed: 0, leastForBuffers: 1, ring: nil) { bytes in
      #expect(bytes == total)
      return Self.bufferBytes
    }
    // All of these would have room, were it not for the first one's buffers.
    let (admitted, isOver) = (Locked(0), Locked(false))
    let others = (1...10).map { _ in
      Task {
        let part = try await ledger.take(fixed: 0, leastForBuffers: 1, ring: nil)
        admitted.withLock { $0 += 1 }
        while !isOver.withLock({ $0 }) { try await Task.sleep(for: .milliseconds(1)) }
        await ledger.giveBack(part)
      }
    }
    try await eventually("some are admitted") { admitted.withLock { $0 } >= 3 }
    try await Task.sleep(for: .milliseconds(20))
    let ring = try Self.ring(8)
    await ledger.use(ring, for: first)
    #expect(ring.limit == 2)
    #expect(admitted.withLock { $0 } == 3)
    isOver.withLock { $0 = true }
    for other in others { try await other.value }
    #expect(ring.limit == 8)
  }

  @Test func `one that waits for room can be cancelled`() async throws {
    let ledger = MemoryLedger(total: 4 * Self.bufferBytes)
    let first = try await ledger.take(fixed: 0, leastForBuffers: 3 * Self.bufferBytes, ring: nil)
    let second = Task { try await ledger.take(fixed: 0, leastForBuffers: 3 * Self.bufferBytes, ring: nil) }
    try await Task.sleep(for: .milliseconds(20))
    second.cancel()
    await #expect(throws: MemoryLedger.Refusal.cancelled) { try await second.value }
    await ledger.giveBack(first)
    _ = try await ledger.take(fixed: 0, leastForBuffers: 3 * Self.bufferBytes, ring: nil)
  }

  private static func takeAll(_ count: Int, of ring: BufferRing) async throws -> Buffers {
    let buffers = Buffers()
    for _ in 0..<count {
      guard let buffer = await ring.take() else { throw TestFailure("a buffer is free") }
      unsafe buffer.bytes[0] = 1
      buffers.put(buffer)
    }
    return buffers
  }
}

/// Buffers that are out.
private final class Buffers: Sendable {
  private let slots = Locked<FixedSlots<PageBuffer>>(FixedSlots(count: 8))

  func put(_ buffer: consuming PageBuffer) {
    let box = Locked<PageBuffer?>(buffer)
    slots.withLock { slots in
      guard let index = slots.firstEmpty, let buffer = box.withLock({ $0.take() }) else { return }
      slots.put(buffer, at: index)
    }
  }

  func giveBack() {
    for index in 0..<8 { _ = slots.withLock { $0.take(at: index) } }
  }
}

extension BufferRing {
  fileprivate func isWithin(_ limit: Int) async -> Bool { takenCount <= limit }
}
