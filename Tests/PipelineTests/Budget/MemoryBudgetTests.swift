import Testing

@testable import SluicePipeline

@Suite struct MemoryBudgetTests {
  static let pageSizes = [4 << 10, 16 << 10, 64 << 10]

  /// Budgets of all sizes, dense where the chunk's size changes.
  static func totals(from smallest: Int) -> [Int] {
    var totals = Array(stride(from: smallest, to: 12 << 20, by: 37_123))
    for power in 18...40 {
      for offset in [-1, 0, 1, 4_095, 65_537] { totals.append(1 << power + offset) }
    }
    return totals.filter { $0 >= smallest }
  }

  @Test(arguments: pageSizes)
  func `stays within the total, with four buffers or more, from 1M up`(pageSize: Int) throws {
    for total in Self.totals(from: 1 << 20) {
      let budget = try MemoryBudget(total: total, shares: [], pageSize: pageSize)
      let buffers = budget.buffers
      #expect(buffers.count >= 4)
      #expect(buffers.totalBytes <= total)
      #expect(buffers.chunkBytes % pageSize == 0)
      #expect((64 << 10...1 << 20).contains(buffers.chunkBytes))
      // No room for another buffer is left over, unless there are as many as can ever be of use.
      #expect(
        buffers.count == 4096 || buffers.totalBytes + buffers.totalBytes / buffers.count > total)
      if buffers.count >= 8 { #expect(buffers.chunkBytes == 1 << 20) }
    }
  }

  @Test(arguments: pageSizes)
  func `takes the shares off first`(pageSize: Int) throws {
    let shares = [
      MemoryBudget.Share(purpose: "one", byteCount: 300_001),
      MemoryBudget.Share(purpose: "two", byteCount: 77_777),
    ]
    for total in Self.totals(from: 1 << 20) {
      let budget = try MemoryBudget(total: total, shares: shares, pageSize: pageSize)
      #expect(budget.buffers.count >= 4)
      #expect(budget.buffers.totalBytes + 300_001 + 77_777 <= total)
      #expect(budget.total == total)
      #expect(budget.shares == shares)
    }
  }

  /// The memory of a buffer of 1 MiB: its three tables take 16 bytes each for each of its pages.
  static let wholeBuffer = 1 << 20 + 12_288

  @Test(arguments: [
    (total: 4 * wholeBuffer, chunk: 1 << 20, count: 4),
    (total: 4 * wholeBuffer - 1, chunk: 512 << 10, count: 7),
    (total: 1 << 20, chunk: 128 << 10, count: 7),
    (total: 64 << 20, chunk: 1 << 20, count: 63),
  ])
  func `shrinks the chunk, not the count`(total: Int, chunk: Int, count: Int) throws {
    let budget = try MemoryBudget(total: total, shares: [], pageSize: 4_096)
    #expect(budget.buffers.chunkBytes == chunk)
    #expect(budget.buffers.count == count)
  }

  @Test(arguments: [4096 * wholeBuffer, 1 << 40, .max])
  func `makes no more buffers than can be of use`(total: Int) throws {
    #expect(
      try MemoryBudget(total: 4096 * Self.wholeBuffer - 1, shares: [], pageSize: 4_096).buffers.count == 4095)
    #expect(try MemoryBudget(total: total, shares: [], pageSize: 4_096).buffers.count == 4096)
  }

  @Test(arguments: pageSizes + [128 << 10], [0, 1, 65_536, 123_457_890])
  func `names the smallest budget that will do, and it does`(pageSize: Int, shareBytes: Int) throws {
    let shares = [MemoryBudget.Share(purpose: "a table", byteCount: shareBytes)]
    let error = try #require(throws: MemoryBudget.TooSmall.self) {
      try MemoryBudget(total: 0, shares: shares, pageSize: pageSize)
    }
    #expect(error.asked == 0)
    let budget = try MemoryBudget(total: error.smallest, shares: shares, pageSize: pageSize)
    #expect(budget.buffers.count == 4)
    #expect(budget.buffers.chunkBytes == max(64 << 10, pageSize))
    #expect(budget.buffers.totalBytes + shareBytes == error.smallest)

    let almost = error.smallest - 1
    #expect(throws: MemoryBudget.TooSmall(asked: almost, smallest: error.smallest)) {
      try MemoryBudget(total: almost, shares: shares, pageSize: pageSize)
    }
  }

  @Test(arguments: pageSizes)
  func `takes no more for files in memory than is of use, in chunks of the same size`(pageSize: Int) throws {
    for total in Self.totals(from: 1 << 20) {
      let budget = try MemoryBudget(total: total, shares: [], pageSize: pageSize)
      let (buffers, forMemory) = (budget.buffers, budget.forMemory)
      #expect(forMemory.chunkBytes == buffers.chunkBytes)
      #expect(forMemory.count == min(buffers.count, (16 << 20) / (buffers.totalBytes / buffers.count)))
      #expect(forMemory.count >= 4)
    }
  }

  @Test func `says how it was divided`() throws {
    let budget = try MemoryBudget(
      total: 16 << 20,
      shares: [
        MemoryBudget.Share(purpose: "scan vectors", byteCount: 96 << 10),
        MemoryBudget.Share(purpose: "records", byteCount: 64 << 10),
      ], pageSize: 4_096)
    #expect(
      budget.description
        == "memory budget of 16384 KiB: 96 KiB for scan vectors, 64 KiB for records, 15 buffers of 1024 KiB")
  }
}
