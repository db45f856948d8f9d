import Foundation
import SluicePipeline
import SluiceSystem
import SluiceTestSupport

/// A tree such as /sys has, of which a test says what is in it.
struct RecordedSys {
  /// Text by path.
  var files: [String: String] = [:]
  /// Where links lead to, by path.
  var links: [String: String] = [:]

  /// The nodes of a machine.
  ///
  /// - Parameters:
  ///   - nodes: of each its number, its list of processors, its memory in MiB and its distances.
  ///   - online: the processors that are.
  init(online: String, _ nodes: [(number: Int, processors: String, memory: Int, distances: String)]) {
    let directory = "devices/system/node"
    files["devices/system/cpu/online"] = online + "\n"
    files["\(directory)/online"] = nodes.map { "\($0.number)" }.joined(separator: ",") + "\n"
    for node in nodes {
      let own = "\(directory)/node\(node.number)"
      files["\(own)/cpulist"] = node.processors + "\n"
      files["\(own)/distance"] = node.distances + "\n"
      files["\(own)/meminfo"] = """
        Node \(node.number) MemTotal:       \(node.memory << 10) kB
        Node \(node.number) MemFree:        \(node.memory << 9) kB
        Node \(node.number) MemUsed:        \(node.memory << 9) kB

        """
    }
  }

  /// Runs `body` with the tree's root.
  func with<Result>(_ body: (borrowing DirectoryHandle) throws -> Result) async throws -> Result {
    try await withTemporaryDirectory { root in
      for (path, text) in files {
        try Self.makeDirectory(of: "\(root)/\(path)")
        try text.write(toFile: "\(root)/\(path)", atomically: false, encoding: .utf8)
      }
      for (path, target) in links {
        try Self.makeDirectory(of: "\(root)/\(path)")
        try FileManager.default.createSymbolicLink(atPath: "\(root)/\(path)", withDestinationPath: target)
      }
      return try body(try DirectoryHandle(path: root))
    }
  }

  private static func makeDirectory(of path: String) throws {
    let directory = path[..<(path.lastIndex(of: "/") ?? path.startIndex)]
    try FileManager.default.createDirectory(atPath: String(directory), withIntermediateDirectories: true)
  }

  /// What is read of it.
  func topology(processors: [Int]? = nil, nodes: [Int]? = nil, cgroup: String? = nil) async throws -> Topology
  {
    try await with {
      Topology(sys: $0, allowedProcessors: processors, allowedNodes: nodes, cgroup: cgroup)
    }
  }
}

extension RecordedSys {
  /// A laptop.
  static var one: RecordedSys { RecordedSys(online: "0-3", [(0, "0-3", 8192, "10")]) }

  /// Two sockets, whose processors are numbered in turns.
  static var two: RecordedSys {
    RecordedSys(online: "0-7", [(0, "0,2,4,6", 4096, "10 21"), (1, "1,3,5,7", 4096, "21 10")])
  }

  /// Two sockets of four dies each.
  static var eight: RecordedSys {
    let nodes = (0..<8).map { node in
      let distances = (0..<8).map { $0 == node ? 10 : $0 / 4 == node / 4 ? 16 : 32 }
      return (
        number: node, processors: "\(4 * node)-\(4 * node + 3)", memory: 2048,
        distances: distances.map(String.init).joined(separator: " ")
      )
    }
    return RecordedSys(online: "0-31", nodes)
  }

  /// One whose node 1 lost its memory, and whose node 3 has nothing but memory. There is no node 2.
  static var odd: RecordedSys {
    RecordedSys(
      online: "0-1,3-5",
      [
        (0, "0-1", 2048, "10 20 40"), (1, "2-3", 0, "20 10 40"), (3, "", 65536, "40 40 10"),
        (8, "4-5", 1024, "30 30 17 10"),
      ])
  }
}
