internal import CSluiceLinux
internal import Glibc

/// Which file or directory it is, whatever its name: on which filesystem, and its number there.
public struct FileIdentity: Hashable, Sendable {
  /// The number of the filesystem.
  public let device: UInt64
  /// The number of the file on it.
  public let number: UInt64
}

/// What the kernel says of a file or a directory.
public struct FileStatus: Hashable, Sendable {
  /// What there may be in a directory.
  public enum Kind: Hashable, Sendable, CustomStringConvertible {
    /// A regular file.
    case file
    /// A directory.
    case directory
    /// A symbolic link.
    case link
    /// A named pipe.
    case fifo
    /// A socket.
    case socket
    /// A character or block device, or something newer.
    case device

    init(mode: UInt32) {
      switch mode & UInt32(S_IFMT) {
      case UInt32(S_IFREG): self = .file
      case UInt32(S_IFDIR): self = .directory
      case UInt32(S_IFLNK): self = .link
      case UInt32(S_IFIFO): self = .fifo
      case UInt32(S_IFSOCK): self = .socket
      default: self = .device
      }
    }

    /// As it stands in messages.
    public var description: String {
      switch self {
      case .file: "a file"
      case .directory: "a directory"
      case .link: "a symbolic link"
      case .fifo: "a FIFO"
      case .socket: "a socket"
      case .device: "a device"
      }
    }
  }

  /// What it is.
  public let kind: Kind
  /// Which one it is.
  public let identity: FileIdentity
  /// The number of the user that it belongs to.
  public let user: UInt32
  /// The number of the group.
  public let group: UInt32
  /// Who may do what: the nine bits of chmod(1), and the three before them.
  public let permissions: UInt32
  /// How many names it has.
  public let linkCount: UInt64
  /// The length in bytes.
  public let byteCount: UInt64
  /// What it takes on its disk, in bytes.
  public let allocatedBytes: UInt64

  init(_ status: sluice_file_status) {
    kind = Kind(mode: status.mode)
    identity = FileIdentity(device: status.device, number: status.number)
    (user, group) = (status.user, status.group)
    permissions = status.mode & 0o7777
    linkCount = status.link_count
    (byteCount, allocatedBytes) = (status.byte_count, status.allocated_bytes)
  }
}
