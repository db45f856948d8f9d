extension ImageChain {
  /// What a look at all directories has come to.
  public struct Verified: Sendable {
    /// Pagemaps of the chain's own directory.
    public var pagemaps = 0
    /// Pages that they name.
    public var pages: UInt64 = 0
    /// What is wrong, a line each.
    public var problems: [String] = []
    /// What is not wrong, and yet to be known, a line each.
    public var notes: [String] = []
  }

  /// Reads everything that has a form, and checks that it fits together.
  ///
  /// - Throws: `ImagesError` with `io` when something cannot be read; `cancelled` when our task is
  ///   cancelled. What is wrong with the images is in the result.
  public func verify() throws(ImagesError) -> Verified {
    var verified = Verified()
    for index in levels.indices { try verifyInventory(of: levels[index], isOwn: index == 0, &verified) }
    verified.problems += try dedupProblems()
    for name in try pagemapNames() {
      try ImagesError.checkCancellation()
      verified.pagemaps += 1
      do throws(ImagesError) {
        let pagemap = try ChainPagemap(name: name, in: self)
        verified.pages += try pagemap.check()
      } catch {
        guard error.code == .malformed else { throw error }
        verified.problems.append(error.description)
      }
    }
    return verified
  }

  private func verifyInventory(
    of level: Level, isOwn: Bool, _ verified: inout Verified
  ) throws(ImagesError) {
    do throws(ImagesError) {
      if let sent = try level.directory.sentMark() {
        verified.notes.append(
          "the pages of \(level.directory.path) were sent to the page server \(sent.server): later rounds can build on this directory, but nobody can restore from it"
        )
      }
      // A parent's may be aside while, or since, a round was made upon it; restoring asks for none of theirs.
      switch try level.directory.completion() {
      case .complete: break
      case .received where isOwn:
        verified.notes.append(
          "\(level.directory.path) has the pages that a page server received, but no inventory.img: to restore, copy it and the other files of the client's own images directory here"
        )
      case .unfinished where isOwn:
        verified.problems.append("\(level.directory.path) has no inventory.img: its run was interrupted")
      case .setAside where isOwn:
        verified.notes.append(
          "\(level.directory.path) is complete and set aside: no further round can build on it, since a later one is running or was interrupted"
        )
      case .unfinished, .received, .setAside: break
      }
    } catch {
      guard error.code == .malformed else { throw error }
      verified.problems.append(error.description)
    }
  }
}
