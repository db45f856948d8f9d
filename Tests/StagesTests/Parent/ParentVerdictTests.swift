import SluiceImages
import Testing

@testable import Sluice

@Suite struct ParentVerdictTests {
  private static let machine = ParentVerdict.Machine(uptime: 1_000_000_000, bootID: "this")
  private static let inventory = Inventory(dumpUptime: 500_000_000, preDumpMode: .read)
  private static let tracked = TrackedProcesses(
    bootID: "this", processes: [TrackedProcesses.Process(pid: 7, startTime: 100)])

  private func verdict(
    inventory: Inventory? = inventory, tracked: TrackedProcesses? = tracked, isSetAside: Bool = false,
    child: String? = nil, deduplicatedFor newer: String? = nil
  ) -> ParentVerdict {
    ParentVerdict.judge(
      inventory: inventory, bootID: tracked?.bootID, isSetAside: isSetAside, child: child,
      deduplicatedFor: newer,
      machine: Self.machine)
  }

  private func expectIgnored(
    _ verdict: ParentVerdict, because reason: String, sourceLocation: SourceLocation = #_sourceLocation
  ) {
    guard case .ignored(let why) = verdict else {
      Issue.record("not ignored", sourceLocation: sourceLocation)
      return
    }
    #expect(why.contains(reason), sourceLocation: sourceLocation)
  }

  @Test func `finished images of this machine's run can be built on, Sluice's and CRIU's`() {
    #expect(verdict() == .usable)
    #expect(verdict(tracked: nil) == .usable)
  }

  @Test func `whatever may have lost dirty pages cannot`() {
    expectIgnored(verdict(inventory: nil), because: "no inventory.img")
    expectIgnored(verdict(inventory: nil, isSetAside: true), because: "interrupted")
    expectIgnored(
      verdict(inventory: Inventory(dumpUptime: nil, preDumpMode: .read)), because: "does not say when")
    expectIgnored(
      verdict(tracked: TrackedProcesses(bootID: "another", processes: Self.tracked.processes)),
      because: "restarted")
    expectIgnored(
      verdict(inventory: Inventory(dumpUptime: 1_000_000_001, preDumpMode: .read), tracked: nil),
      because: "restarted")
    expectIgnored(verdict(child: "../3"), because: "../3")
    expectIgnored(verdict(deduplicatedFor: "../4"), because: "../4")
    // Their own word goes before the time, which may be that of another time namespace.
    #expect(verdict(inventory: Inventory(dumpUptime: 9_000_000_000, preDumpMode: .read)) == .usable)
  }

  private func verdict(
    pid: Int32, startTime: UInt64, tracked: TrackedProcesses?, dumpUptime: UInt64 = 500_000_000,
    ahead: UInt64 = 0
  ) -> ParentVerdict {
    ParentVerdict.judge(
      pid: pid, startTime: startTime + ahead, machineStartTime: startTime,
      inventory: Inventory(dumpUptime: dumpUptime, preDumpMode: .read), tracked: tracked, ticksPerSecond: 100)
  }

  @Test func `a task must be the same process`() {
    #expect(verdict(pid: 7, startTime: 100, tracked: Self.tracked) == .usable)
    expectIgnored(verdict(pid: 7, startTime: 101, tracked: Self.tracked), because: "another process")
    expectIgnored(verdict(pid: 8, startTime: 100, tracked: Self.tracked), because: "no pages of this process")
    #expect(verdict(pid: 8, startTime: 100, tracked: nil) == .usable)
    // In whatever time namespace, and whenever the images say that they were made there.
    #expect(verdict(pid: 7, startTime: 100, tracked: Self.tracked, ahead: 1_000_000) == .usable)
    #expect(verdict(pid: 7, startTime: 100, tracked: Self.tracked, dumpUptime: 10) == .usable)
  }

  /// CRIU's rule, at its edge: ticks of 10 ms, and a process that started in the same one is another.
  @Test func `a task must be older than the images`() {
    #expect(verdict(pid: 7, startTime: 99, tracked: nil, dumpUptime: 1_000_000) == .usable)
    expectIgnored(
      verdict(pid: 7, startTime: 100, tracked: nil, dumpUptime: 1_000_000), because: "older than")
    expectIgnored(
      verdict(pid: 7, startTime: 101, tracked: nil, dumpUptime: 1_009_999), because: "older than")
  }

  private func verdict(
    ofHashesOfOthers change: (
      pageSize: UInt64, pid: Int32, startTime: UInt64, dumpUptime: UInt64, bootID: String
    ), seed: UInt64 = 4
  ) -> ParentVerdict {
    ParentVerdict.judge(
      hashesOf: PageHashHead(
        pageSize: change.pageSize, pid: change.pid, startTime: change.startTime,
        dumpUptime: change.dumpUptime, seed: seed,
        bootID: change.bootID),
      // This round begins later.
      for: PageHashHead(
        pageSize: 4096, pid: 7, startTime: 100, dumpUptime: 900_000_000, seed: 4, bootID: "this"),
      inventory: Self.inventory)
  }

  @Test func `hashes are believed of these images, this process and this start of the machine`() {
    #expect(verdict(ofHashesOfOthers: (4096, 7, 100, 500_000_000, "this")) == .usable)
    expectIgnored(verdict(ofHashesOfOthers: (4096, 7, 100, 500_000_000, "other")), because: "restarted")
    expectIgnored(verdict(ofHashesOfOthers: (4096, 8, 100, 500_000_000, "this")), because: "another process")
    expectIgnored(verdict(ofHashesOfOthers: (4096, 7, 101, 500_000_000, "this")), because: "another process")
    expectIgnored(
      verdict(ofHashesOfOthers: (4096, 7, 100, 500_000_001, "this")), because: "not of these images")
    expectIgnored(
      verdict(ofHashesOfOthers: (4096, 7, 100, 500_000_000, "this"), seed: 5), because: "the same chain")
    expectIgnored(verdict(ofHashesOfOthers: (65536, 7, 100, 500_000_000, "this")), because: "65536")
    let now = PageHashHead(pageSize: 4096, pid: 7, startTime: 100, dumpUptime: 9, seed: 4, bootID: "this")
    expectIgnored(
      ParentVerdict.judge(hashesOf: nil, for: now, inventory: Self.inventory), because: "no hashes")
  }

  /// Images of processes whose soft-dirty bits did not tell everything: CRIU is told that they are of another time, and
  /// whoever compares contents, or has watched the processes all the while, goes on.
  @Test(arguments: [500_000_000, 500_009_998, 9_998] as [UInt64])
  func `images that distrust soft-dirty bits are no base for those`(uptime: UInt64) {
    let inventory = Inventory.distrusting(uptime: uptime, preDumpMode: .read)
    // CRIU's reckoning: before the first tick, as no process is.
    #expect(inventory.dumpUptime.map { $0 / 10_000 } == 0)
    expectIgnored(ParentVerdict.judge(softDirtyBitsSince: inventory), because: "not show all")
    #expect(ParentVerdict.judge(softDirtyBitsSince: Self.inventory) == .usable)
    #expect(verdict(inventory: inventory) == .usable)
    #expect(
      ParentVerdict.judge(
        pid: 7, startTime: 100, machineStartTime: 100, inventory: inventory, tracked: nil, ticksPerSecond: 100
      )
        == .usable)
    func hashes(_ uptime: UInt64) -> ParentVerdict {
      let head = PageHashHead(
        pageSize: 4096, pid: 7, startTime: 100, dumpUptime: uptime, seed: 4, bootID: "this")
      return ParentVerdict.judge(hashesOf: head, for: head, inventory: inventory)
    }
    #expect(hashes(uptime) == .usable)
    expectIgnored(hashes(uptime + 1), because: "not of these images")
  }
}
