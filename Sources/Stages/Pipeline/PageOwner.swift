/// Whose memory pages are.
public enum PageOwner: Hashable, Sendable, Codable {
  /// A process that runs.
  case process(ProcessIdentity)
  /// Memory that a directory of images has by the name of its pagemap: of a process, or memory that several shared.
  case image(pagemap: String)

  /// The process; nil for memory of an image.
  public var process: ProcessIdentity? {
    if case .process(let identity) = self { identity } else { nil }
  }
}

extension PageOwner: CustomStringConvertible {
  /// As messages have it.
  public var description: String {
    switch self {
    case .process(let identity): "process \(identity.pid)"
    case .image(let pagemap): pagemap
    }
  }
}

/// Which process it is, also when its pid is used again.
public struct ProcessIdentity: Hashable, Sendable, Codable {
  /// The pid that we see it under.
  public let pid: Int32
  /// The pid in its own pid namespace, which CRIU names images by.
  public let namespacePid: Int32
  /// When it started, in clock ticks since the machine did, as /proc/PID/stat of the first time namespace has it.
  public let startTime: UInt64

  /// A process by its pids and the time when it started.
  public init(pid: Int32, namespacePid: Int32, startTime: UInt64) {
    self.pid = pid
    self.namespacePid = namespacePid
    self.startTime = startTime
  }
}
