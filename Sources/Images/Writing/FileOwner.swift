/// Whose a file is.
public struct FileOwner: Hashable, Sendable {
  /// The number of the user.
  public let user: UInt32
  /// The number of the group.
  public let group: UInt32

  /// A user and a group.
  public init(user: UInt32, group: UInt32) {
    (self.user, self.group) = (user, group)
  }
}
