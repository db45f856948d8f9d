internal import CSluiceLinux

/// Whom this process trusts with what it is led to, and with what it writes into.
///
/// Sluice often runs as root, in directories that somebody else may write. There a link may lead to what is none of that
/// user's, and a name may be a second one (a hard link) of a file that is none of theirs. What belongs to the one who owns
/// the directory anyway may be read and written: nobody is led to anything that is not theirs.
public struct Trust: Hashable, Sendable {
  /// Users beside root, the one that this process runs as, and the one whom the directory belongs to.
  public var users: Set<UInt32>
  /// Whether links are followed, and files written, whoever they belong to.
  public var trustsEverybody: Bool

  /// Trusts these users, or everybody.
  public init(users: Set<UInt32> = [], everybody: Bool = false) {
    self.users = users
    trustsEverybody = everybody
  }

  private static func isOurs(_ user: UInt32) -> Bool { user == 0 || user == sluice_effective_user() }

  /// Why a link is not followed; nil where it is.
  ///
  /// - Parameters:
  ///   - target: the directory that it leads to; nil while only the link is known.
  ///   - owner: whom the directory belongs to that the link is in.
  func objection(toLink link: FileStatus, to target: FileStatus? = nil, of owner: UInt32) -> String? {
    guard !trustsEverybody else { return nil }
    let others = users.union([owner])
    guard Self.isOurs(link.user) || others.contains(link.user) else {
      return "it belongs to user \(link.user)"
    }
    guard let target else { return nil }
    // Others may lead to what is theirs, and not to what is ours.
    let mayLead =
      Self.isOurs(link.user)
      ? Self.isOurs(target.user) || others.contains(target.user) : target.user == link.user
    guard mayLead else {
      return Self.isOurs(target.user)
        ? "it belongs to user \(link.user), and the directory does not"
        : "the directory belongs to user \(target.user)"
    }
    return Self.objection(toWritersOf: target)
  }

  /// Whether nobody but root and ourselves may put anything into a directory.
  static func admitsNobodyElse(to directory: FileStatus) -> Bool {
    isOurs(directory.user) && objection(toWritersOf: directory) == nil
  }

  private static func objection(toWritersOf target: FileStatus) -> String? {
    if target.permissions & 0o002 != 0 { return "everybody may write the directory" }
    // Where each user has a group of their own, their directories are often writable for it (umask 002).
    let user = sluice_effective_user()
    let isOwnGroup = user != 0 && target.user == user && target.group == sluice_effective_group()
    guard target.permissions & 0o020 == 0 || isOwnGroup else {
      return "group \(target.group) may write the directory"
    }
    return nil
  }

  /// Why a file is not written to; nil where it may be.
  ///
  /// - Parameter owner: whom the directory belongs to that the file is in.
  func objection(toWriting file: FileStatus, of owner: UInt32) -> String? {
    // Even of our own: who made the second name knows what else it is.
    if file.linkCount > 1 { return "it has \(file.linkCount) names (hard links)" }
    guard !trustsEverybody, !Self.isOurs(file.user), file.user != owner, !users.contains(file.user) else {
      return nil
    }
    return "it belongs to user \(file.user), and the directory does not"
  }
}
