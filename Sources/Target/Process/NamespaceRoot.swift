internal import SluiceSystem

/// The first user (0) of a user namespace and the first group, as numbers outside of it: user_namespaces(7).
public struct NamespaceRoot: Hashable, Sendable {
  /// The user's number.
  public let user: UInt32
  /// The group's number.
  public let group: UInt32

  /// - Parameters:
  ///   - users: the text of /proc/PID/uid_map, as it is read outside of the namespace.
  ///   - groups: the same of gid_map.
  /// - Returns: nil where one of them is nobody outside.
  init?(users: String, groups: String) {
    guard let user = Self.outside(of: 0, in: users), let group = Self.outside(of: 0, in: groups) else {
      return nil
    }
    (self.user, self.group) = (user, group)
  }

  /// The number that an inside number is outside. A line gives a first number inside, the first outside, and how many
  /// there are; one that is unknown outside is given as the highest.
  private static func outside(of inside: UInt32, in map: String) -> UInt32? {
    for line in map.split(separator: "\n") {
      let numbers = line.split(separator: " ").compactMap { UInt32($0) }
      guard numbers.count == 3, inside >= numbers[0], inside - numbers[0] < numbers[2] else { continue }
      return numbers[1] == UInt32.max ? nil : numbers[1] + (inside - numbers[0])
    }
    return nil
  }
}

extension TargetProcess {
  /// The first user of the user namespace that the process is in; nil where it is in ours, or the kernel has none.
  ///
  /// - Throws: `TargetError` when the kernel does not tell.
  public func namespaceRoot() throws(TargetError) -> NamespaceRoot? {
    guard let ours = try Self.userNamespace(of: "self"), let its = try Self.userNamespace(of: "\(pid)"),
      its != ours
    else { return nil }
    do throws(ProcFile.OpenFailed) {
      return NamespaceRoot(
        users: try ProcFile.text(ofFileAt: "/proc/\(pid)/uid_map"),
        groups: try ProcFile.text(ofFileAt: "/proc/\(pid)/gid_map"))
    } catch {
      throw failure(of: "reading the user namespace", errno: error.errno)
    }
  }

  /// What the kernel calls the namespace.
  private static func userNamespace(of process: String) throws(TargetError) -> String? {
    let path = "/proc/\(process)/ns/user"
    do throws(SystemError) {
      return try SymbolicLink.text(of: path, called: path)
    } catch {
      guard error.code != .missing else { return nil }
      throw TargetError(.systemCall, error.message, errno: error.errno)
    }
  }
}
