internal import SluiceImages
internal import SluiceTarget

extension TrackedProcesses {
  /// Those processes as what tells them from others with the same pid in another pid namespace.
  var identities: Set<ProcessTree.Identity> {
    Set(processes.map { ProcessTree.Identity(namespacePid: $0.pid, startTime: $0.startTime) })
  }
}

/// What images say of the processes that they are of.
struct ImagesSubject {
  private let tracked: TrackedProcesses?
  private let dumpUptime: UInt64?

  /// - Parameter chain: the images, with those that they build on.
  /// - Throws: `ImagesError` when they cannot be read.
  init(of chain: ImageChain) throws(ImagesError) {
    self.init(tracked: try chain.tracked(), try chain.completion())
  }

  /// - Parameter directory: the images.
  /// - Throws: `ImagesError` when they cannot be read.
  init(in directory: borrowing ImagesDirectory) throws(ImagesError) {
    self.init(tracked: try directory.tracked(), try directory.completion())
  }

  private init(tracked: TrackedProcesses?, _ completion: ImagesDirectory.Completion) {
    self.tracked = tracked
    if case .complete(let inventory) = completion {
      dumpUptime = inventory.dumpUptime
    } else {
      dumpUptime = nil
    }
  }

  /// The processes, as far as the images say.
  var identities: Set<ProcessTree.Identity> { tracked?.identities ?? [] }

  /// Whether the images that are named like a process are of another one, which had the same pid in another pid
  /// namespace: the process lived when they were made, and is not the one. One that started later may have been restored
  /// from them.
  ///
  /// - Parameters:
  ///   - bootID: of this run of the machine.
  ///   - ticksPerSecond: of the clock that tells when processes started.
  func isAnother(
    _ process: ProcessTree.Identity, bootID: String, ticksPerSecond: UInt64
  ) -> Bool {
    guard let tracked, tracked.bootID == bootID, let dumpUptime,
      let known = tracked.processes.first(where: { $0.pid == process.namespacePid })
    else { return false }
    return known.startTime != process.startTime
      && process.startTime < dumpUptime / (1_000_000 / ticksPerSecond)
  }
}
