internal import SluicePipeline
internal import SluiceTarget
internal import Synchronization

/// One of the processes that a round copies.
final class DumpedProcess: Sendable {
  /// Its place among the processes of the round.
  let index: Int
  let process: TargetProcess
  /// What its writes are found out by without a stop; nil where they are not.
  let protection: WriteProtection?
  /// The same process in the words of sources and sinks.
  let owner: PageOwner
  private let failure = Locked<SluiceError?>(nil)
  private let isFailed = Atomic(false)
  /// Whether a failure of this process ends the round: without the process that was asked for, there is nothing to go
  /// on for.
  private var isEssential: Bool { index == 0 }

  init(index: Int, process: TargetProcess, protection: WriteProtection? = nil) {
    self.index = index
    self.process = process
    self.protection = protection
    owner = .process(ProcessIdentity(process))
  }

  /// Whether its images are given up.
  var hasFailed: Bool { isFailed.load(ordering: .acquiring) }

  /// Why its images are given up; nil while they are not.
  var error: SluiceError? { failure.withLock { $0 } }

  /// Runs a part of the work on this process. The failure of a descendant ends its own part of the round alone: a
  /// process without images is copied whole by the next dump.
  ///
  /// - Returns: nil when the process has failed, now or before.
  func attempt<Result: ~Copyable>(
    _ work: () throws(TargetError) -> Result
  ) throws(SluiceError) -> Result? {
    guard !hasFailed else { return nil }
    do throws(TargetError) {
      return try work()
    } catch {
      try fail(SluiceError(error))
      return nil
    }
  }

  /// Gives up the images of this process.
  ///
  /// - Throws: the error, where it ends the round.
  func fail(_ error: SluiceError) throws(SluiceError) {
    if isEssential || error.code == .cancelled { throw error }
    // The first failure is the one to tell.
    failure.withLock { $0 = $0 ?? error }
    isFailed.store(true, ordering: .releasing)
  }
}

extension ProcessIdentity {
  init(_ process: TargetProcess) {
    self.init(pid: process.pid, namespacePid: process.namespacePid, startTime: process.machineStartTime)
  }
}
