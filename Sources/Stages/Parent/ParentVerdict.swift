internal import SluiceImages

/// Whether a round can build on earlier images: the rules, without any looking.
///
/// A page is left to the parent only if nothing wrote it since the parent's images were made. That is known
/// only where the tracker was cleared for these images and for none since, of this very process.
enum ParentVerdict: Hashable, Sendable {
  /// Pages that nothing wrote since can be left to them.
  case usable
  /// Everything is copied, for this reason.
  case ignored(String)

  /// What is known of the machine.
  struct Machine: Sendable {
    /// Microseconds since the machine started.
    let uptime: UInt64
    /// Of /proc/sys/kernel/random/boot_id.
    let bootID: String
  }

  /// Looks at the images as a whole.
  ///
  /// - Parameter bootID: in which run of the machine they were made; nil where they do not say, as CRIU's do not.
  static func judge(
    inventory: Inventory?, bootID: String?, isSetAside: Bool, child: String?,
    deduplicatedFor newer: String? = nil, machine: Machine
  ) -> ParentVerdict {
    if let newer {
      return .ignored("'sluice dedup' has removed pages that another round (\(newer)) replaces")
    }
    if isSetAside {
      return .ignored("a later round was interrupted, so it is not known which pages changed since")
    }
    guard let inventory else { return .ignored("they have no inventory.img: their run was interrupted") }
    guard let dumpUptime = inventory.dumpUptime else {
      return .ignored("their inventory.img does not say when they were made")
    }
    if let bootID {
      // Their time may be that of another time namespace.
      if bootID != machine.bootID { return .ignored("the machine was restarted since") }
    } else if dumpUptime > machine.uptime {
      return .ignored("they were made before the machine was restarted, or in another time namespace")
    }
    if let child { return .ignored("another round (\(child)) was built on them already") }
    return .usable
  }

  /// Looks at one process.
  ///
  /// Whether the soft-dirty bits can be believed, and so such images be built on by them, is told of all processes in one:
  /// `judge(softDirtyBitsSince:)`.
  ///
  /// - Parameters:
  ///   - startTime: when the process started, in clock ticks since the machine did, as our time namespace has it.
  ///   - machineStartTime: the same as the machine has it.
  ///   - ticksPerSecond: of that clock.
  static func judge(
    pid: Int32, startTime: UInt64, machineStartTime: UInt64, inventory: Inventory?,
    tracked: TrackedProcesses?,
    ticksPerSecond: UInt64
  ) -> ParentVerdict {
    if let tracked {
      guard let known = tracked.processes.first(where: { $0.pid == pid }) else {
        return .ignored("they have no pages of this process")
      }
      return known.startTime == machineStartTime
        ? .usable : .ignored("they are of another process with that pid")
    }
    // Then it does not say when.
    if inventory?.distrustsSoftDirty == true { return .usable }
    // CRIU's rule, to 10 ms: whatever started later is another process.
    let dumpTicks = (inventory?.dumpUptime ?? 0) / (1_000_000 / ticksPerSecond)
    if startTime >= dumpTicks { return .ignored("they are older than the process") }
    return .usable
  }

  /// Looks whether the soft-dirty bits tell what was written since.
  static func judge(softDirtyBitsSince inventory: Inventory?) -> ParentVerdict {
    guard inventory?.distrustsSoftDirty == true else { return .usable }
    return .ignored("the soft-dirty bits do not show all writes since then")
  }

  /// Looks at one process whose images say by themselves when it started, in clock ticks since the machine did.
  static func judge(startTime: UInt64, hashedStartTime: UInt64) -> ParentVerdict {
    startTime == hashedStartTime ? .usable : .ignored("they are of another process with that pid")
  }

  /// Looks at the hashes of one process's pages.
  ///
  /// - Parameters:
  ///   - head: what they are of; nil where there are none.
  ///   - now: the same for the round that is to build on them.
  static func judge(hashesOf head: PageHashHead?, for now: PageHashHead, inventory: Inventory?)
    -> ParentVerdict
  {
    guard let head else { return .ignored("they have no hashes of its pages (tracker content)") }
    if head.bootID != now.bootID { return .ignored("the machine was restarted since") }
    if (head.pid, head.startTime) != (now.pid, now.startTime) {
      return .ignored("the hashes are of another process with that pid")
    }
    if head.pageSize != now.pageSize { return .ignored("the hashes are of pages of \(head.pageSize) bytes") }
    if head.seed != now.seed { return .ignored("the hashes are not of the same chain as those of others") }
    if inventory?.isOf(uptime: head.dumpUptime) != true {
      return .ignored("the hashes are not of these images")
    }
    return .usable
  }
}
