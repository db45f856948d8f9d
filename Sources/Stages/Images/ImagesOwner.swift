internal import SluiceImages
internal import SluiceTarget

/// Whether a process that lives is the one that images are of: the rules, without any looking.
public enum ImagesOwner: Hashable, Sendable {
  /// It is: it started when the images say, in the same run of the machine.
  case same
  /// It is not, for this reason.
  case other(String)
  /// That cannot be told: the images do not say which process they are of, as CRIU's do not.
  case unknown

  /// - Parameters:
  ///   - pid: of the process in its own pid namespace, which the images are named by.
  ///   - startTime: when it started, in clock ticks since the machine did, as our time namespace has it.
  ///   - machineStartTime: the same as the machine has it.
  ///   - bootID: of this run of the machine.
  ///   - ticksPerSecond: of that clock.
  init(
    pid: Int32, startTime: UInt64, machineStartTime: UInt64, bootID: String, ticksPerSecond: UInt64,
    inventory: Inventory?, tracked: TrackedProcesses?
  ) {
    if let tracked {
      if tracked.bootID != bootID {
        self = .other("the machine was restarted since the images were made")
        return
      }
      if let known = tracked.processes.first(where: { $0.pid == pid }) {
        self = known.startTime == machineStartTime ? .same : .other("it is another process with that pid")
        return
      }
    }
    // To 10 ms, which is what CRIU goes by. It holds whether or not the machine was restarted since: a process that
    // is older than the images may still be another one, which is why this never says that it is the same.
    if let inventory, !inventory.distrustsSoftDirty, let uptime = inventory.dumpUptime,
      startTime > uptime / (1_000_000 / ticksPerSecond)
    {
      self = .other("it started after the images were made")
      return
    }
    self = .unknown
  }
}
