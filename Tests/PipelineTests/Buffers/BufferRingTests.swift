import CSluiceLinux
import SluicePipeline
import SluiceTestSupport
import Testing

@Suite(.timeLimit(.minutes(15))) struct BufferRingTests {
  static let pageSize = sluice_page_size()

  static func ring(count: Int, pagesPerChunk: Int = 4) throws -> BufferRing {
    try BufferRing(
      layout: BufferLayout(count: count, chunkBytes: pagesPerChunk * pageSize, pageSize: pageSize))
  }

  @Test func `buffers are whole pages that do not overlap`() async throws {
    let ring = try Self.ring(count: 5)
    let first = await ring.take()
    let others = await [ring.takeAndKeep(), ring.takeAndKeep(), ring.takeAndKeep(), ring.takeAndKeep()]
    #expect(ring.takenCount == 5)
    var ranges = others.map(\.range)
    if let first { ranges.append(first.range) }
    #expect(ranges.count == 5)
    for range in ranges {
      #expect(range.lowerBound % UInt(Self.pageSize) == 0)
      #expect(range.count == 4 * Self.pageSize)
      #expect(ranges.count { $0.overlaps(range) } == 1)
    }
  }

  @Test func `every byte of a buffer and of its table can be written without touching another`() async throws
  {
    let ring = try Self.ring(count: 3)
    let kept = await [ring.takeAndKeep(), ring.takeAndKeep(), ring.takeAndKeep()]
    for (number, buffer) in kept.enumerated() { buffer.fill(with: UInt8(number + 1)) }
    for (number, buffer) in kept.enumerated() { #expect(buffer.isFilled(with: UInt8(number + 1))) }
  }

  @Test func `whoever does not wait gets a buffer only where one is free`() throws {
    let ring = try Self.ring(count: 1)
    let first = ring.takeNow()
    #expect(ring.takenCount == 1)
    switch ring.takeNow() {
    case .some: Issue.record("there is but one")
    case .none: break
    }
    _ = consume first
    #expect(ring.takenCount == 0)
    switch ring.takeNow() {
    case .some: break
    case .none: Issue.record("it came back")
    }
  }

  @Test func `hands out the buffer that came back last, and never touches one it does not need`() async throws
  {
    let ring = try Self.ring(count: 8)
    let one = ring.layout.totalBytes / 8
    #expect(ring.touchedBytes == 0)
    var last: Range<UInt>?
    for _ in 0..<20 {
      let buffer = await ring.takeAndKeep()
      if let last { #expect(buffer.range == last) }
      last = buffer.range
    }
    #expect(ring.touchedBytes == one)
    var first: Kept? = await ring.takeAndKeep()
    var second: Kept? = await ring.takeAndKeep()
    let ranges = [first?.range, second?.range]
    #expect(ring.touchedBytes == 2 * one)
    second = nil
    first = nil
    #expect(ring.takenCount == 0)
    first = await ring.takeAndKeep()
    second = await ring.takeAndKeep()
    #expect([first?.range, second?.range] == ranges)
    #expect(ring.touchedBytes == 2 * one)
  }

  @Test func `memory comes into being when it is first written, not before`() async throws {
    let ring = try Self.ring(count: 4, pagesPerChunk: 16)
    let kept = await [ring.takeAndKeep(), ring.takeAndKeep(), ring.takeAndKeep(), ring.takeAndKeep()]
    for buffer in kept { #expect(buffer.residentPages == 0) }
    kept[0].fill(with: 1)
    #expect(kept[0].residentPages == 16)
  }

  @Test func `the memory is not inherited over fork, and gone with the ring`() async throws {
    // A size that nothing else in this process has.
    var ring: BufferRing? = try Self.ring(count: 1, pagesPerChunk: 1_237)
    let pages = try #require(ring).layout.totalBytes.dividedRoundingUp(by: Self.pageSize)
    let address = try #require(await ring?.takeAndKeep().range.lowerBound)
    let mapping = Kernel.mapping(at: address)
    let flags = mapping["VmFlags", default: ""].split(separator: " ")
    #expect(flags.contains("wr"))
    // "dc" is MADV_DONTFORK: proc_pid_smaps(5).
    #expect(flags.contains("dc"))
    // The kernel may have joined it with the ring of a test that runs beside this one.
    let size = try #require(mapping["Size"]?.split(separator: " ").first.flatMap { Int($0) })
    #expect(size >= pages * Self.pageSize >> 10)
    ring = nil
    #expect(Kernel.mapping(at: address)["Size"] != mapping["Size"])
  }

  @Test func `memory that is not to be had is an error that names its size`() throws {
    let layout = BufferLayout(count: 1 << 20, chunkBytes: 1 << 40, pageSize: Self.pageSize)
    let error = try #require(throws: BufferRing.MappingFailed.self) { try BufferRing(layout: layout) }
    #expect(error.byteCount == layout.totalBytes)
    #expect(error.errno.code == 12)
  }

  @Test func `a buffer goes straight to the task that waits for it`() async throws {
    for round in 0..<500 {
      let ring = try Self.ring(count: 1)
      let held = await ring.takeAndKeep()
      let range = held.range
      let task = Task { await ring.takeAndKeep().range }
      for _ in 0..<round % 10 { await Task.yield() }
      held.letGo()
      #expect(await task.value == range)
      #expect(ring.takenCount == 0)
    }
  }

  @Test func `a cancelled task gets nothing that it would have to wait for`() async throws {
    for round in 0..<500 {
      let ring = try Self.ring(count: 1)
      let held = await ring.takeAndKeep()
      let task = Task { await ring.take() == nil }
      for _ in 0..<round % 10 { await Task.yield() }
      task.cancel()
      #expect(await task.value)
      #expect(ring.takenCount == 1)
      held.letGo()
      #expect(ring.takenCount == 0)
    }
  }

  @Test(arguments: 0..<4)
  func `no two tasks have the same buffer, and all are home in the end`(seed: Int) async throws {
    var random = SplitMix(seed: UInt64(seed))
    for _ in 0..<200 {
      let count = Int.random(in: 1...3, using: &random)
      let ring = try Self.ring(count: count, pagesPerChunk: 1)
      let tasks = (1...6).map { number in
        Task {
          var clashes = 0
          for _ in 0..<20 {
            guard let buffer = await ring.take() else { break }
            buffer.sign(UInt8(number))
            await Task.yield()
            if !buffer.isSigned(UInt8(number)) { clashes += 1 }
          }
          return clashes
        }
      }
      for task in tasks where Bool.random(using: &random) {
        for _ in 0..<Int.random(in: 0...20, using: &random) { await Task.yield() }
        task.cancel()
      }
      for task in tasks { #expect(await task.value == 0) }
      #expect(ring.takenCount == 0)
      #expect(ring.touchedBytes <= ring.layout.totalBytes)
    }
  }

  @Test func `a ring lives as long as its buffers`() async throws {
    let kept = await Self.bufferOfItsOwn()
    kept.fill(with: 7)
    #expect(kept.isFilled(with: 7))
  }

  private static func bufferOfItsOwn() async -> Kept {
    do {
      return await (try ring(count: 1)).takeAndKeep()
    } catch {
      preconditionFailure("a few pages can always be had")
    }
  }
}

/// A buffer in a place of its own, since an array cannot hold what cannot be copied.
private final class Kept: Sendable {
  private let buffer: Locked<PageBuffer?>
  let range: Range<UInt>

  init(_ buffer: consuming PageBuffer) {
    range = buffer.range
    self.buffer = Locked(buffer)
  }

  func letGo() {
    buffer.withLock { $0 = nil }
  }

  var residentPages: Int {
    buffer.withLock { buffer in
      guard let bytes = unsafe buffer?.bytes else { return 0 }
      return unsafe Kernel.residentPages(bytes)
    }
  }

  func fill(with byte: UInt8) {
    buffer.withLock { buffer in
      guard let bytes = unsafe buffer?.bytes, let table = unsafe buffer?.runTable else { return }
      _ = unsafe bytes.initializeMemory(as: UInt8.self, repeating: byte)
      unsafe table.update(repeating: MemoryRun(address: UInt64(byte), length: UInt64(byte)))
    }
  }

  func isFilled(with byte: UInt8) -> Bool {
    buffer.withLock { buffer in
      guard let bytes = unsafe buffer?.bytes, let table = unsafe buffer?.runTable else { return false }
      return unsafe bytes.allSatisfy { $0 == byte }
        && table.allSatisfy { $0.address == UInt64(byte) && $0.length == UInt64(byte) }
    }
  }
}

extension BufferRing {
  fileprivate func takeAndKeep() async -> Kept {
    guard let buffer = await take() else { preconditionFailure("this test does not cancel") }
    return Kept(buffer)
  }
}

extension Int {
  fileprivate func dividedRoundingUp(by divisor: Int) -> Int { (self + divisor - 1) / divisor }
}

extension PageBuffer {
  fileprivate var range: Range<UInt> {
    let start = unsafe UInt(bitPattern: bytes.baseAddress)
    return unsafe start..<start + UInt(bytes.count)
  }

  fileprivate borrowing func sign(_ byte: UInt8) {
    unsafe bytes[0] = byte
  }

  fileprivate borrowing func isSigned(_ byte: UInt8) -> Bool {
    unsafe bytes[0] == byte
  }
}
