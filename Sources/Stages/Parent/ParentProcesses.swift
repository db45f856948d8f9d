internal import Logging
internal import SluiceImages
internal import SluiceTarget

/// Which processes of a tree earlier images are of.
struct ParentProcesses {
  private let parent: ParentImages
  private let logger: Logger

  init(of parent: ParentImages, _ configuration: PreDump.Configuration) {
    self.parent = parent
    logger = configuration.logger
  }

  /// Their pids, as we see them. Of the others it is told why not.
  func pids(in tree: ProcessTree) -> Set<Int32> {
    let bases = tree.processes.enumerated().filter { isBase(for: $0.element, isRoot: $0.offset == 0) }
    return Set(bases.map(\.element.pid))
  }

  /// - Parameter isRoot: whether it is the process that was asked for. That a descendant is new is nothing unusual.
  private func isBase(for process: TargetProcess, isRoot: Bool) -> Bool {
    let verdict: ParentVerdict
    let head: PageHashHead?
    do throws(ImagesError) {
      head = parent.tracked == nil ? try parent.hashHead(pid: process.namespacePid) : nil
    } catch {
      logger.warning(
        "copying all of process \(process.pid): the hashes of its earlier pages cannot be read: \(error)"
      )
      return false
    }
    if let head {
      verdict = ParentVerdict.judge(startTime: process.machineStartTime, hashedStartTime: head.startTime)
    } else {
      verdict = ParentVerdict.judge(
        pid: process.namespacePid, startTime: process.startTime, machineStartTime: process.machineStartTime,
        inventory: parent.inventory, tracked: parent.tracked, ticksPerSecond: Uptime.ticksPerSecond)
    }
    switch verdict {
    case .usable: return chainIsWhole(of: process)
    case .ignored(let reason):
      logger.log(
        level: isRoot ? .warning : .notice,
        "copying all of process \(process.pid): the images in \(parent.path) cannot be used as a base: \(reason)"
      )
      return false
    }
  }

  /// Whether the parent's images have every page that they promise. If not, they are not built upon any further.
  private func chainIsWhole(of process: TargetProcess) -> Bool {
    do throws(ImagesError) {
      try parent.checkChain(pid: process.namespacePid)
      return true
    } catch {
      logger.warning(
        "copying all of process \(process.pid): its earlier images cannot be used as a base: \(error)")
      return false
    }
  }
}

extension ParentImages {
  /// In which run of the machine they were made; nil where they do not say. Where no tracker was cleared for them, the
  /// hashes of the pages of the process tell, if there are any.
  ///
  /// - Throws: `ImagesError` when the hashes cannot be read.
  func bootID(of process: TargetProcess) throws(ImagesError) -> String? {
    if let tracked { return tracked.bootID }
    return try hashHead(pid: process.namespacePid)?.bootID
  }

  /// What the hashes of a process's pages say of themselves; nil where there are none. What is wrong with them is told by
  /// whoever compares pages with them.
  ///
  /// - Throws: `ImagesError` when they cannot be read.
  fileprivate func hashHead(pid: Int32) throws(ImagesError) -> PageHashHead? {
    do throws(ImagesError) {
      switch try hashes(pagemap: "pagemap-\(pid).img") {
      case .some(let hashes): return hashes.head
      case .none: return nil
      }
    } catch {
      guard error.code == .malformed else { throw error }
      return nil
    }
  }
}
