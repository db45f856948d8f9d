internal import CSluiceLinux
public import SluiceSystem

/// Text files of /sys and /proc.
extension DirectoryHandle {
  /// All of a small file below the directory; nil where there is none, or it cannot be read.
  fileprivate func text(of name: String) -> String? {
    guard let file = try? openForReading(name) else { return nil }
    return Topology.text(from: file.descriptor.number)
  }
}

extension Topology {
  /// A list of a machine with thousands of processors is some kilobytes long.
  private static let mostTextBytes = 64 << 10

  fileprivate static func text(from descriptor: Int32) -> String? {
    var bytes = [UInt8](repeating: 0, count: mostTextBytes)
    var length = 0
    while length < bytes.count {
      let count = unsafe bytes.withUnsafeMutableBytes {
        unsafe sluice_read(descriptor, $0.baseAddress! + length, $0.count - length)
      }
      guard count >= 0 else { return nil }
      if count == 0 { break }
      length += count
    }
    return String(decoding: bytes[..<length], as: UTF8.self)
  }

  private static func onlineNodes(_ sys: borrowing DirectoryHandle) -> [Int] {
    let text = sys.text(of: "devices/system/node/online")
    return text.flatMap { numbers($0, upTo: Int(SLUICE_MAX_NODES) - 1) } ?? []
  }

  /// Reads what there is.
  ///
  /// - Parameters:
  ///   - sys: /sys, or what was recorded of one.
  ///   - allowedProcessors: those that we may run on; nil for all.
  ///   - allowedNodes: those that we may take memory from; nil for all.
  ///   - cgroup: the path of our cgroup below fs/cgroup, which begins with a slash; nil where there is none.
  public init(
    sys: borrowing DirectoryHandle, allowedProcessors: [Int]? = nil, allowedNodes: [Int]? = nil,
    cgroup: String? = nil
  ) {
    func processors(_ name: String) -> [Int]? {
      sys.text(of: name).flatMap { Self.numbers($0, upTo: Int(SLUICE_MAX_PROCESSORS) - 1) }
    }
    let online = Self.onlineNodes(sys)
    // Some kernels list a node's processors that are offline, too.
    let running = processors("devices/system/cpu/online").map { Set($0) }
    let allowed = allowedProcessors.map { Set($0) }
    var nodes: [Node] = []
    for number in online {
      let directory = "devices/system/node/node\(number)"
      let own = (processors("\(directory)/cpulist") ?? []).filter {
        running?.contains($0) != false && allowed?.contains($0) != false
      }
      let memory = sys.text(of: "\(directory)/meminfo").flatMap { Self.bytes("MemTotal", in: $0) } ?? 0
      nodes.append(
        Node(
          number: number, processors: own.map { UInt32($0) }, memoryBytes: memory,
          givesMemory: memory > 0 && allowedNodes?.contains(number) != false,
          distances: sys.text(of: "\(directory)/distance").map { Self.distances($0, of: online) } ?? [:]))
    }
    self.init(nodes: nodes, limits: cgroup.map { Self.limits(sys, of: $0) } ?? Limits())
  }

  /// The tightest limits of a cgroup of version 2 and of those above it.
  private static func limits(_ sys: borrowing DirectoryHandle, of cgroup: String) -> Limits {
    var limits = Limits()
    var names = cgroup.split(separator: "/")
    while !names.isEmpty {
      let directory = "fs/cgroup/" + names.joined(separator: "/")
      let text = sys.text(of: "\(directory)/memory.max")?.split(whereSeparator: \.isWhitespace).first
      if let bytes = text.flatMap({ UInt64($0) }) {
        limits.memoryBytes = min(bytes, limits.memoryBytes ?? .max)
      }
      if let processors = sys.text(of: "\(directory)/cpu.max").flatMap({ Self.processors(in: $0) }) {
        limits.processors = min(processors, limits.processors ?? .infinity)
      }
      names.removeLast()
    }
    return limits
  }

  /// What there is on this machine. With one node, or a kernel that tells of none, nothing is asked but how many there are.
  ///
  /// - Parameter needsAll: whether a single node is looked at, too.
  public static func current(needsAll: Bool = false) -> Topology {
    guard needsAll || countNodes() > 1, let sys = try? DirectoryHandle(path: "/sys") else { return .single }
    let own = try? DirectoryHandle(path: "/proc/self")
    let status = own?.text(of: "status") ?? ""
    let nodes = status.split(separator: "\n").first { $0.hasPrefix("Mems_allowed_list:") }
      .flatMap { numbers($0.dropFirst("Mems_allowed_list:".count), upTo: Int(SLUICE_MAX_NODES) - 1) }
    let cgroup = own?.text(of: "cgroup")?.split(separator: "\n").first { $0.hasPrefix("0::") }
    return Topology(
      sys: sys, allowedProcessors: allowedProcessors(), allowedNodes: nodes,
      cgroup: cgroup.map { String($0.dropFirst("0::".count)) })
  }

  /// How many nodes this machine has; 0 where the kernel knows none.
  private static func countNodes() -> Int {
    var text = [CChar](repeating: 0, count: 1 << 10)
    let length = unsafe text.withUnsafeMutableBufferPointer {
      unsafe sluice_nodes_online($0.baseAddress, $0.count)
    }
    guard length > 0 else { return 0 }
    let list = String(decoding: text[..<length].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    return numbers(list, upTo: Int(SLUICE_MAX_NODES) - 1)?.count ?? 0
  }

  /// How many processors the calling thread may run on; 1 where the kernel does not tell.
  public static var usableProcessorCount: Int { max(1, sluice_allowed_processors(nil, 0)) }

  private static func allowedProcessors() -> [Int]? {
    var processors = [UInt32](repeating: 0, count: Int(SLUICE_MAX_PROCESSORS))
    let count = unsafe processors.withUnsafeMutableBufferPointer {
      unsafe sluice_allowed_processors($0.baseAddress, $0.count)
    }
    return count > 0 ? processors[..<count].map { Int($0) } : nil
  }
}

/// Which node a device is near to.
extension Topology {
  /// The node of the device that a filesystem is on; of one that is made of others, theirs where they have the same.
  ///
  /// - Parameters:
  ///   - device: the number of the filesystem (st_dev).
  ///   - sys: /sys, or what was recorded of one.
  /// - Returns: nil where /sys does not say.
  public static func node(ofFilesystem device: UInt64, _ sys: borrowing DirectoryHandle) -> Int? {
    // As glibc's major and minor do.
    let major = (device >> 8 & 0xfff) | (device >> 32 & ~0xfff)
    let minor = (device & 0xff) | (device >> 12 & ~0xff)
    guard let path = target(ofLink: "\(major):\(minor)", in: "dev/block", sys) else { return nil }
    return node(ofBlockDevice: path, sys, depth: 0)
  }

  /// The node of a network interface; nil where /sys does not say, as of one that no hardware is behind.
  public static func node(ofInterface name: String, _ sys: borrowing DirectoryHandle) -> Int? {
    target(ofLink: name, in: "class/net", sys).flatMap { node(ofDevice: $0, sys) }
  }

  /// How many devices may be stacked on each other.
  private static let mostDepth = 8

  private static func node(ofBlockDevice path: String, _ sys: borrowing DirectoryHandle, depth: Int) -> Int? {
    if let own = node(ofDevice: path, sys) { return own }
    guard depth < mostDepth else { return nil }
    let slaves = names(in: "\(path)/slaves", sys)
    var nodes: Set<Int?> = []
    for slave in slaves {
      let below = target(ofLink: slave, in: "\(path)/slaves", sys)
      nodes.insert(below.flatMap { node(ofBlockDevice: $0, sys, depth: depth + 1) })
    }
    return nodes.count == 1 ? nodes.first ?? nil : nil
  }

  /// What the device says, or the nearest above it that says something.
  private static func node(ofDevice path: String, _ sys: borrowing DirectoryHandle) -> Int? {
    var names = path.split(separator: "/")
    while names.count > 1 {
      if let text = sys.text(of: names.joined(separator: "/") + "/numa_node"),
        let word = text.split(whereSeparator: \.isWhitespace).first, let number = Int(word)
      {
        // The kernel writes -1 where it does not know.
        return number >= 0 ? number : nil
      }
      names.removeLast()
    }
    return nil
  }

  private static func names(in path: String, _ sys: borrowing DirectoryHandle) -> [String] {
    var names: [String] = []
    // What is no directory has nothing in it.
    guard let directory = try? sys.openDirectory(path) else { return [] }
    try? directory.forEachName { names.append($0) }
    return names
  }

  /// Where a link leads to, as a path below /sys.
  private static func target(
    ofLink name: String, in directory: String, _ sys: borrowing DirectoryHandle
  ) -> String? {
    guard
      let text = try? SymbolicLink.text(
        of: "\(directory)/\(name)", in: sys.descriptor, called: "\(directory)/\(name)")
    else { return nil }
    var names = directory.split(separator: "/").map(String.init)
    for part in text.split(separator: "/") {
      guard part == ".." else {
        names.append(String(part))
        continue
      }
      guard !names.isEmpty else { return nil }
      names.removeLast()
    }
    return names.joined(separator: "/")
  }
}
