import CSluiceLinux
import SluicePipeline
import SluiceTestSupport
import Testing

@testable import Sluice

@Suite struct PlanSteeringTests {
  private static let pageSize: UInt64 = 4096
  private static let two = Placement(
    places: [.init(node: 0, processors: [0], readers: 1), .init(node: 1, processors: [1], readers: 1)],
    homes: [0: 0, 1: 1, 2: 1])

  private static func steering() -> PlanSteering { PlanSteering(two, pageSize: Int(pageSize)) }

  private static func run(_ first: UInt64, pages: UInt64) -> MemoryRun {
    MemoryRun(address: first * pageSize, length: pages * pageSize)
  }

  /// Steers memory whose page number says its node, and tells the plans: the place of each, its pages, and what is held.
  private static func plans(
    _ runs: [MemoryRun], chunkPages: UInt64 = 256, node: (UInt64) -> Int32
  ) -> (plans: [(place: Int, pages: UInt64, held: [UInt64])], asked: Int) {
    var steering = steering()
    var plans: [(place: Int, pages: UInt64, held: [UInt64])] = []
    var (open, asked): (UInt64?, Int) = (nil, 0)
    func send() {
      if let pages = open { plans.append((steering.place, pages, steering.takeHeld().map { $0 / pageSize })) }
      open = nil
    }
    for run in runs {
      var rest = run
      while rest.length > 0 {
        let samples = steering.samples(of: rest)
        asked += samples.addresses.count
        let stretches = steering.stretches(of: samples, on: samples.addresses.map { node($0 / pageSize) })
        for stretch in stretches {
          if steering.turn(to: stretch, hasPlan: open != nil) { send() }
          var left = stretch.byteCount / pageSize
          while left > 0 {
            if open == nil {
              steering.open()
              open = 0
            }
            let added = min(left, chunkPages - (open ?? 0))
            open = (open ?? 0) + added
            steering.add(added * pageSize, of: stretch)
            left -= added
            if open == chunkPages { send() }
          }
          rest = MemoryRun(address: rest.address + stretch.byteCount, length: rest.length - stretch.byteCount)
        }
      }
    }
    send()
    return (plans, asked)
  }

  @Test func `memory of one node goes to its readers`() {
    for node in [Int32(0), 1] {
      let (plans, asked) = Self.plans([Self.run(16, pages: 1000)]) { _ in node }
      #expect(plans.map(\.place) == Array(repeating: Int(node), count: 4))
      #expect(plans.map(\.pages) == [256, 256, 256, 232])
      #expect(plans.allSatisfy { $0.held[Int(node)] == $0.pages && $0.held.reduce(0, +) == $0.pages })
      // Two of 32.
      #expect(asked <= 2 * (1000 / 32 + 4))
    }
  }

  @Test func `what a node without readers holds goes to the nearest`() {
    let (plans, _) = Self.plans([Self.run(16, pages: 256)]) { _ in 2 }
    #expect(plans.map(\.place) == [1])
    #expect(plans.map(\.held) == [[0, 0, 256, 0]])
  }

  @Test func `a plan ends where another node begins`() {
    let (plans, _) = Self.plans([Self.run(0x1000, pages: 512)]) { $0 < 0x1040 || $0 >= 0x1100 ? 0 : 1 }
    #expect(plans.map(\.place) == [0, 1, 0])
    #expect(plans.map(\.pages) == [64, 192, 256])
    #expect(plans.map(\.held) == [[64, 0, 0, 0], [0, 192, 0, 0], [256, 0, 0, 0]])
  }

  @Test func `huge pages in turns on two nodes are read where they are`() {
    let (plans, _) = Self.plans([Self.run(0x1000, pages: 4096)]) { Int32($0 / 512 % 2) }
    #expect(plans.count == 16)
    for plan in plans { #expect(plan.held[plan.place] == plan.pages) }
  }

  @Test func `pages in turns on two nodes are seen to be, and make no small plans`() {
    let (plans, _) = Self.plans([Self.run(0x1000, pages: 4096)]) { Int32($0 % 2) }
    #expect(plans.map(\.pages) == Array(repeating: 256, count: 16))
    #expect(plans.allSatisfy { $0.held == [128, 128, 0, 0] }, "\(plans)")
  }

  @Test func `few pages of another node do not cut a plan, many in a row do`() {
    // Every other page, of which those in the middle are on node 1.
    let runs = (0..<128).map { Self.run(0x1000 + 2 * $0, pages: 1) }
    let few = Self.plans(runs) { (0x1080..<0x1090).contains($0) ? 1 : 0 }
    #expect(few.plans.map(\.place) == [0])
    let many = Self.plans((0..<512).map { Self.run(0x1000 + 2 * $0, pages: 1) }) { $0 >= 0x1100 ? 1 : 0 }
    #expect(many.plans.map(\.place) == [0, 1, 1])
    #expect(many.plans[0].pages < 180)
    // One of sixteen.
    #expect(many.asked < 40)
  }

  @Test func `what is not known stays with the plan that is open`() {
    let (plans, _) = Self.plans([Self.run(0x1000, pages: 256)]) { $0 < 0x1040 ? 1 : -2 }
    #expect(plans.map(\.place) == [1])
    #expect(plans.map(\.held) == [[0, 256, 0, 0]])
    let (none, _) = Self.plans([Self.run(0x1000, pages: 256)]) { _ in -1 }
    #expect(none.map(\.held) == [[0, 0, 0, 256]])
  }

  @Test(arguments: 0..<30)
  func `all that is told comes, once, whatever the nodes are`(seed: Int) {
    var random = SplitMix(seed: UInt64(seed))
    var (runs, next): ([MemoryRun], UInt64) = ([], 16)
    for _ in 0..<Int.random(in: 1...60, using: &random) {
      let pages = UInt64.random(in: 1...(Bool.random(using: &random) ? 8 : 2000), using: &random)
      runs.append(Self.run(next, pages: pages))
      next += pages + UInt64.random(in: 1...700, using: &random)
    }
    let period = UInt64.random(in: 1...900, using: &random)
    let (plans, _) = Self.plans(runs) { Int32($0 / period % 4) - 1 }
    #expect(plans.reduce(0) { $0 + $1.pages } == runs.reduce(0) { $0 + $1.length } / Self.pageSize)
    #expect(plans.allSatisfy { $0.held.reduce(0, +) == $0.pages && (0...1).contains($0.place) })
  }

  @Test func `readers count what they have read, and what was far`() {
    var bytes: [NodeBytes] = []
    bytes.add([8 << 12, 4 << 12, 0], read: 12 << 12, at: 0)
    #expect(bytes == [.init(local: 8 << 12), .init(remote: 4 << 12), .init()])
    // Two pages have vanished; and the buffer was elsewhere.
    bytes.add([0, 4 << 12, 1 << 12], read: 3 << 12, at: nil)
    #expect(bytes == [.init(local: 8 << 12), .init(remote: 6 << 12), .init(remote: 1 << 12)])
    var total = ReadStage.Counts()
    total += ReadStage.Counts()
    #expect(total.nodes == [])
    var counts = ReadStage.Counts()
    counts.nodes = bytes
    total += counts
    total += counts
    #expect(total.nodes[1] == NodeBytes(local: 0, remote: 12 << 12))
  }
}
