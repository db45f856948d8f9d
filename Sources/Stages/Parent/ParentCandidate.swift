internal import Logging
internal import SluiceImages
internal import SluiceSystem
internal import SluiceTarget

/// Earlier images that a round may build on, as far as they say themselves.
struct ParentCandidate: Sendable {
  let images: ParentImages
  private let logger: Logger

  /// Opens them; nil where none were named, or they are no base for this machine. It is logged why not.
  ///
  /// - Throws: `SluiceError`.
  static func open(
    for root: TargetProcess, _ configuration: PreDump.Configuration, _ role: RoundRole, trust: Trust
  ) throws(SluiceError) -> ParentCandidate? {
    guard let path = configuration.parentDirectory, configuration.io != .discard else { return nil }
    let parent = try onImages { () throws(ImagesError) in
      try ParentImages(path: path, expecting: role.parent, trust: trust)
    }
    // By this very round, when it was tried before.
    if role.tries > 1, parent.isSetAside { return nil }
    let machine = try onTarget { () throws(TargetError) in
      ParentVerdict.Machine(uptime: Uptime.microseconds(), bootID: try Uptime.bootID())
    }
    let bootID = try onImages { () throws(ImagesError) in try parent.bootID(of: root) }
    switch ParentVerdict.judge(
      inventory: parent.inventory, bootID: bootID,
      isSetAside: parent.isSetAside,
      child: parent.child, deduplicatedFor: parent.dedupMark?.child, machine: machine)
    {
    case .usable: return ParentCandidate(images: parent, logger: configuration.logger)
    case .ignored(let reason):
      configuration.logger.warning(
        "copying everything: the images in \(path) cannot be used as a base: \(reason)")
      return nil
    }
  }

  /// Whether a process of the tree can build on them, or none of them is of the tree.
  func isWhole(for tree: ProcessTree) -> Bool {
    guard let reason = brokenness(for: tree) else { return true }
    // A link to them would have the new images depend on what they do not need.
    logger.warning("copying everything: the images in \(images.path) cannot be used as a base: \(reason)")
    return false
  }

  /// Why none of the processes that the images are of can build on them; nil where one can.
  private func brokenness(for tree: ProcessTree) -> ImagesError? {
    var reason: ImagesError?
    for process in tree.processes {
      do throws(ImagesError) {
        guard try images.has(pid: process.namespacePid) else { continue }
        try images.checkChain(pid: process.namespacePid)
        return nil
      } catch {
        reason = reason ?? error
      }
    }
    return reason
  }
}
