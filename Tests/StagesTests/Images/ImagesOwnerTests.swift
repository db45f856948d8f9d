import SluiceImages
import Testing

@testable import Sluice

@Suite struct ImagesOwnerTests {
  private func owner(
    startTime: UInt64 = 900, ahead: UInt64 = 0, bootID: String = "now", uptime: UInt64? = 10_000_000,
    tracked: TrackedProcesses? = nil
  ) -> ImagesOwner {
    ImagesOwner(
      pid: 17, startTime: startTime + ahead, machineStartTime: startTime, bootID: bootID, ticksPerSecond: 100,
      inventory: Inventory(dumpUptime: uptime, preDumpMode: .read), tracked: tracked)
  }

  private func tracked(_ pid: Int32, _ startTime: UInt64) -> TrackedProcesses {
    TrackedProcesses(
      bootID: "now", processes: [.init(pid: 3, startTime: 1), .init(pid: pid, startTime: startTime)])
  }

  @Test func `goes by the start of the process and of the machine`() {
    #expect(owner(tracked: tracked(17, 900)) == .same)
    #expect(owner(ahead: 1_000_000, tracked: tracked(17, 900)) == .same)
    #expect(owner(tracked: tracked(17, 899)) == .other("it is another process with that pid"))
    #expect(
      owner(bootID: "then", tracked: tracked(17, 900))
        == .other("the machine was restarted since the images were made"))
  }

  @Test func `without a note of it says no more than is known`() {
    #expect(owner() == .unknown)
    #expect(owner(tracked: tracked(18, 900)) == .unknown)
    #expect(owner(uptime: nil) == .unknown)
    // At the very tick it may have been there.
    #expect(owner(startTime: 1000) == .unknown)
    #expect(owner(startTime: 1001) == .other("it started after the images were made"))
    // Images that distrust the soft-dirty bits do not say when.
    #expect(
      owner(uptime: Inventory.distrusting(uptime: 10_000_000, preDumpMode: .read).dumpUptime) == .unknown)
  }
}
