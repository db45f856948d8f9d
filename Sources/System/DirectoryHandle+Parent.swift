internal import CSluiceLinux
internal import Glibc

extension DirectoryHandle {
  /// The directory that a link in this one leads to: so `parent` is followed, and no other link.
  ///
  /// Whoever may have made the link must not lead us to what is none of theirs (`Trust`), and on the way there is no other
  /// link.
  ///
  /// - Returns: nil when there is no link of that name.
  /// - Throws: `SystemError`: `missing` where it leads nowhere, `refused` where it is not followed.
  public func follow(_ name: String, trust: Trust) throws(SystemError) -> DirectoryHandle? {
    // Its text and its owner are of the same link, however often somebody replaces it.
    let opened = unsafe sluice_open_beneath(descriptor, name, SLUICE_BENEATH_LOOK)
    guard opened != -ENOENT else { return nil }
    guard opened >= 0 else { throw SystemError("looking at \(path(of: name))", returned: opened) }
    let found = Descriptor(owning: opened)
    let status = try found.status(path: path(of: name))
    guard status.kind == .link else {
      throw SystemError(refusing: "\(path(of: name)) is \(status.kind) and no symbolic link")
    }
    let text = try SymbolicLink.text(of: "", in: found.number, called: path(of: name))
    let owner = try self.status().user
    if let objection = trust.objection(toLink: status, of: owner) { throw refusal(of: name, text, objection) }
    let opening = trust.trustsEverybody ? openAnyWay(text) : unsafe sluice_open_way(descriptor, text)
    // A relative path begins here.
    let called = text.hasPrefix("/") ? text : path(of: text)
    switch opening {
    case -ELOOP, -ENOTDIR: throw refusal(of: name, text, "another symbolic link, or a file, is on the way")
    case ..<0: throw SystemError("opening the directory \(called)", returned: opening)
    default: break
    }
    let directory = DirectoryHandle(owning: Descriptor(owning: opening), path: called)
    if let objection = trust.objection(toLink: status, to: try directory.status(), of: owner) {
      throw refusal(of: name, text, objection)
    }
    return directory
  }

  private func openAnyWay(_ text: String) -> Int32 {
    unsafe sluice_open_at(descriptor, text, SLUICE_OPEN_DIRECTORY)
  }

  private func refusal(of name: String, _ text: String, _ reason: String) -> SystemError {
    SystemError(
      refusing:
        "the link \(path(of: name)) to \(text) is not followed: \(reason); say so (trustsParents; --trust-parent) if all who may write there are trusted"
    )
  }
}
