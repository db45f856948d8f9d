import Glibc
import SluiceTestSupport
import Testing

@testable import SluicePipeline

@Suite struct WriteWindowTests {
  private static let page = 4096

  /// A window of tokens with one item open, whose part of `count` bytes is in flight.
  private static func window(_ ledger: Ledger, count: Int) -> WriteWindow<Token> {
    var window = WriteWindow<Token>(depth: 1, pageSize: page)
    let item = window.open(ledger.makeToken())
    let number = window.start(item: item, position: page, count: count, fileOffset: 100 * UInt64(page))
    window.close(item: item)
    #expect(number == 0)
    return window
  }

  @Test func `a write that is done lets go of its item`() {
    let ledger = Ledger()
    var window = Self.window(ledger, count: 8192)
    expect(!window.hasRoom)
    #expect(ledger.aliveCount == 1)
    expect(window.complete(0, result: 8192) == .done)
    #expect(ledger.aliveCount == 0)
    expect(window.hasRoom)
    expect(window.lowestFileOffset == nil)
  }

  /// Every short count of a write of three pages: the rest begins at a page, and nothing is left out.
  @Test func `a short write goes on at the page that was cut`() {
    for written in 0..<3 * Self.page {
      let ledger = Ledger()
      var window = Self.window(ledger, count: 3 * Self.page)
      let whole = written / Self.page * Self.page
      let verdict = window.complete(0, result: written)
      let rest = window.remainder(of: 0)
      let expected = WriteWindow<Token>.Remainder(
        position: Self.page + whole, count: 3 * Self.page - whole, fileOffset: UInt64(100 * Self.page + whole)
      )
      // Not by `#expect` for each: there are thousands.
      if verdict != .again || rest != expected || window.lowestFileOffset != expected.fileOffset {
        Issue.record("after \(written) bytes: \(verdict), \(rest)")
      }
      expect(window.complete(0, result: rest.count) == .done)
      #expect(ledger.aliveCount == 0)
    }
  }

  @Test(arguments: [EINTR, EAGAIN]) func `what passes is tried again, but not for ever`(errno: Int32) {
    let ledger = Ledger()
    var window = Self.window(ledger, count: 8192)
    let before = window.remainder(of: 0)
    for _ in 0..<999 {
      expect(window.complete(0, result: -Int(errno)) == .again)
      expect(window.remainder(of: 0) == before)
    }
    expect(window.complete(0, result: -Int(errno)) == .failed(errno: errno))
    #expect(ledger.aliveCount == 0)
  }

  @Test func `a disk that takes nothing and gives no reason has failed`() {
    let ledger = Ledger()
    var window = Self.window(ledger, count: 8192)
    // Less than a page is no progress: the page is written again.
    for attempt in 0..<999 { expect(window.complete(0, result: attempt % 2 * 100) == .again) }
    expect(window.complete(0, result: 0) == .failed(errno: EIO))
    #expect(ledger.aliveCount == 0)
  }

  @Test func `progress begins the count of attempts anew`() {
    let ledger = Ledger()
    var window = Self.window(ledger, count: 3 * Self.page)
    for _ in 0..<2 {
      for _ in 0..<999 { expect(window.complete(0, result: 0) == .again) }
      expect(window.complete(0, result: Self.page) == .again)
    }
    for _ in 0..<999 { expect(window.complete(0, result: -Int(EINTR)) == .again) }
    expect(window.complete(0, result: Self.page) == .done)
    #expect(ledger.aliveCount == 0)
  }

  @Test(arguments: [EIO, ENOSPC, EDQUOT, EFBIG, EBADF]) func `an error that lasts ends the write`(
    errno: Int32
  ) {
    let ledger = Ledger()
    var window = Self.window(ledger, count: 8192)
    expect(window.complete(0, result: -Int(errno)) == .failed(errno: errno))
    #expect(ledger.aliveCount == 0)
    expect(window.inFlight == 0)
  }

  @Test func `more than was asked for is an error`() {
    let ledger = Ledger()
    var window = Self.window(ledger, count: 8192)
    expect(window.complete(0, result: 8193) == .failed(errno: EIO))
    #expect(ledger.aliveCount == 0)
  }

  @Test func `an item without parts is let go of when it is closed`() {
    let ledger = Ledger()
    var window = WriteWindow<Token>(depth: 1, pageSize: Self.page)
    let item = window.open(ledger.makeToken())
    #expect(ledger.aliveCount == 1)
    window.close(item: item)
    #expect(ledger.aliveCount == 0)
  }

  @Test func `an item whose writes have ended is kept until it is closed`() {
    let ledger = Ledger()
    var window = WriteWindow<Token>(depth: 2, pageSize: Self.page)
    let item = window.open(ledger.makeToken())
    for part in 0..<3 {
      let number = window.start(
        item: item, position: part * Self.page, count: Self.page, fileOffset: UInt64(part * Self.page))
      expect(window.complete(number, result: Self.page) == .done)
      #expect(ledger.aliveCount == 1)
    }
    window.close(item: item)
    #expect(ledger.aliveCount == 0)
  }

  @Test func `completing what is not in flight ends the process`() async {
    await #expect(processExitsWith: .failure) {
      var window = WriteWindow<Int>(depth: 1, pageSize: 4096)
      _ = window.complete(0, result: 1)
    }
  }

  /// Random work against a plain model: what each item has in flight, and how far each write is.
  @Test(arguments: 0..<20) func `agrees with a model`(seed: UInt64) {
    var random = SplitMix(seed: seed)
    let depth = Int.random(in: 1...9, using: &random)
    let ledger = Ledger()
    var window = WriteWindow<Token>(depth: depth, pageSize: Self.page)
    var model = Model()
    for _ in 0..<3000 {
      switch Int.random(in: 0..<4, using: &random) {
      case 0 where model.open == nil:
        model.open = window.open(ledger.makeToken())
        model.items[model.open ?? -1] = 0
      case 1:
        guard let item = model.open, window.hasRoom else { continue }
        let pages = Int.random(in: 1...8, using: &random)
        let (position, offset) = (
          Int.random(in: 0..<64, using: &random), UInt64.random(in: 0..<1000, using: &random)
        )
        let number = window.start(
          item: item, position: position * Self.page, count: pages * Self.page,
          fileOffset: offset * UInt64(Self.page))
        #expect(model.writes[number] == nil, "a number is not given twice")
        model.writes[number] = .init(
          item: item, left: pages * Self.page, offset: offset * UInt64(Self.page))
        model.items[item, default: 0] += 1
      case 2:
        guard let item = model.open else { continue }
        window.close(item: item)
        model.open = nil
        if model.items[item] == 0 { model.items[item] = nil }
      default:
        guard let number = model.writes.keys.sorted().randomElement(using: &random) else { continue }
        let asked = window.remainder(of: number)
        let result =
          [asked.count, Int.random(in: 0..<asked.count, using: &random), -Int(EINTR), -Int(EIO)]
          .randomElement(using: &random) ?? 0
        let verdict = window.complete(number, result: result)
        #expect(verdict == model.complete(number, result: result))
      }
      expect(window.inFlight == model.writes.count)
      expect(window.hasRoom == (model.writes.count < depth))
      expect(window.lowestFileOffset == model.writes.values.map(\.offset).min())
      #expect(ledger.aliveCount == model.items.count)
    }
    for number in model.writes.keys { _ = window.complete(number, result: -Int(EIO)) }
    if let item = model.open { window.close(item: item) }
    #expect(ledger.aliveCount == 0)
    #expect(ledger.endedTwice.isEmpty)
  }

  private struct Model {
    struct Write {
      var item: Int
      var left: Int
      var offset: UInt64
    }

    /// Writes in flight of each item that is held.
    var items: [Int: Int] = [:]
    var open: Int?
    var writes: [Int: Write] = [:]

    mutating func complete(_ number: Int, result: Int) -> WriteWindow<Token>.Verdict {
      guard var write = writes[number] else { return .failed(errno: -1) }
      let isDone = result == write.left
      if !isDone && result != -Int(EIO) {
        let whole = max(0, result) / page * page
        write.left -= whole
        write.offset += UInt64(whole)
        writes[number] = write
        return .again
      }
      writes[number] = nil
      items[write.item, default: 0] -= 1
      if items[write.item] == 0 && open != write.item { items[write.item] = nil }
      return isDone ? .done : .failed(errno: EIO)
    }
  }
}

// `#expect` takes apart what it is given, which a window does not permit.
private func expect(_ holds: Bool, sourceLocation: SourceLocation = #_sourceLocation) {
  #expect(holds, sourceLocation: sourceLocation)
}
