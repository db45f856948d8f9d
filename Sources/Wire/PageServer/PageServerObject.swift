/// Whose pages a page server is sent: the memory of a process, or memory that several processes share.
public enum PageServerObject: Hashable, Sendable {
  /// A process, by the pid that it has in its own pid namespace.
  case process(pid: UInt32)
  /// Shared memory, by the number that CRIU gave it.
  case sharedMemory(id: UInt64)

  /// The lowest byte of the number on the wire says what kind of object it is; the rest is its id.
  private static let processKind: UInt64 = 1
  private static let sharedMemoryKind: UInt64 = 2
  /// The kinds by which older versions of CRIU named the same: the numbers of their image files.
  private static let oldProcessKinds: Set<UInt64> = [10, 11, 16, 17]
  private static let oldSharedMemoryKinds: Set<UInt64> = [27, 28, 29, 32, 33, 34]

  /// The object that a header names; nil where there is no such kind, or no process can have that id.
  public init?(wire: UInt64) {
    let (kind, id) = (wire & 0xff, wire >> 8)
    if kind == Self.processKind || Self.oldProcessKinds.contains(kind) {
      guard id > 0, id <= UInt64(Int32.max) else { return nil }
      self = .process(pid: UInt32(id))
    } else if kind == Self.sharedMemoryKind || Self.oldSharedMemoryKinds.contains(kind) {
      self = .sharedMemory(id: id)
    } else {
      return nil
    }
  }

  /// As a header has it. Never 0.
  public var wire: UInt64 {
    switch self {
    case .process(let pid): UInt64(pid) << 8 | Self.processKind
    case .sharedMemory(let id): id << 8 | Self.sharedMemoryKind
    }
  }

  /// The name of the pagemap that CRIU's images have of it.
  public var pagemapName: String {
    switch self {
    case .process(let pid): "pagemap-\(pid).img"
    case .sharedMemory(let id): "pagemap-shmem-\(id).img"
    }
  }
}

extension PageServerObject: CustomStringConvertible {
  /// As messages have it.
  public var description: String {
    switch self {
    case .process(let pid): "process \(pid)"
    case .sharedMemory(let id): "shared memory \(id)"
    }
  }
}
