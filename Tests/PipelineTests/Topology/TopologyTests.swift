import SluiceSystem
import SluiceTestSupport
import Testing

@testable import SluicePipeline

@Suite struct TopologyTests {
  @Test func `reads a machine with one node`() async throws {
    let topology = try await RecordedSys.one.topology()
    #expect(
      topology.nodes == [
        .init(
          number: 0, processors: [0, 1, 2, 3], memoryBytes: 8 << 30, givesMemory: true, distances: [0: 10])
      ])
    #expect(topology.usable.count == 1)
    #expect(topology.limits == .init())
  }

  @Test func `a kernel that knows no nodes has none`() async throws {
    var sys = RecordedSys.one
    sys.files = ["devices/system/cpu/online": "0-3\n"]
    #expect(try await sys.topology() == .single)
    sys.files["devices/system/node/online"] = "what?\n"
    #expect(try await sys.topology() == .single)
  }

  @Test func `reads a machine with two nodes`() async throws {
    let topology = try await RecordedSys.two.topology()
    #expect(topology.nodes.map(\.number) == [0, 1])
    #expect(topology.nodes.map(\.processors) == [[0, 2, 4, 6], [1, 3, 5, 7]])
    #expect(topology.nodes.map(\.distances) == [[0: 10, 1: 21], [0: 21, 1: 10]])
    #expect(topology.usable == topology.nodes)
  }

  @Test func `reads a machine with eight nodes`() async throws {
    let topology = try await RecordedSys.eight.topology()
    #expect(topology.usable.map(\.number) == Array(0..<8))
    #expect(topology.nodes[5].processors == [20, 21, 22, 23])
    #expect(topology.nearest(to: 6, among: [0, 1, 7]) == 7)
    #expect(topology.nearest(to: 6, among: [1, 0]) == 0)
    #expect(topology.nearest(to: 6, among: [6, 7]) == 6)
    #expect(topology.nearest(to: 6, among: []) == nil)
  }

  @Test func `knows nodes without memory, without processors, and with gaps between their numbers`()
    async throws
  {
    let topology = try await RecordedSys.odd.topology()
    #expect(topology.nodes.map(\.number) == [0, 1, 3, 8])
    #expect(topology.nodes.map(\.givesMemory) == [true, false, true, true])
    // Processor 2 is offline.
    #expect(topology.nodes.map(\.processors) == [[0, 1], [3], [], [4, 5]])
    #expect(topology.usable.map(\.number) == [0, 8])
    // The distances of nodes 0 to 3 are of another number of nodes than there are: as if unknown.
    #expect(topology.nodes[0].distances == [:])
    #expect(topology.nodes[3].distances == [0: 30, 1: 30, 3: 17, 8: 10])
    #expect(topology.nearest(to: 3, among: [0, 8]) == 8)
  }

  @Test func `is cut to what a cpuset allows`() async throws {
    let one = try await RecordedSys.two.topology(processors: [0, 2])
    #expect(one.nodes.map(\.processors) == [[0, 2], []])
    #expect(one.usable.map(\.number) == [0])
    let other = try await RecordedSys.two.topology(nodes: [1])
    #expect(other.nodes.map(\.givesMemory) == [false, true])
    #expect(other.usable.map(\.number) == [1])
    let none = try await RecordedSys.two.topology(processors: [0, 2, 4, 6], nodes: [1])
    #expect(none.usable == [])
  }

  @Test func `knows the tightest limits of the cgroup and those above it`() async throws {
    var sys = RecordedSys.two
    sys.files["fs/cgroup/a/memory.max"] = "\(64 << 20)\n"
    sys.files["fs/cgroup/a/cpu.max"] = "max 100000\n"
    sys.files["fs/cgroup/a/b/memory.max"] = "\(128 << 20)\n"
    sys.files["fs/cgroup/a/b/cpu.max"] = "150000 100000\n"
    sys.files["fs/cgroup/c/memory.max"] = "max\n"
    #expect(try await sys.topology(cgroup: "/a/b").limits == .init(memoryBytes: 64 << 20, processors: 1.5))
    #expect(try await sys.topology(cgroup: "/a").limits == .init(memoryBytes: 64 << 20))
    #expect(try await sys.topology(cgroup: "/c").limits == .init())
    #expect(try await sys.topology(cgroup: "/").limits == .init())
    #expect(try await sys.topology(cgroup: "/../../d").limits == .init())
  }

  @Test(arguments: [
    ("0", [0]), ("0-3\n", [0, 1, 2, 3]), ("0-1,8,10-11", [0, 1, 8, 10, 11]), ("", []), ("\n", []),
  ])
  func `reads lists of numbers`(text: String, numbers: [Int]) {
    #expect(Topology.numbers(text, upTo: 63) == numbers)
  }

  @Test(arguments: ["a", "1-", "-1", "3-1", "1,,2", "1,", "64", "0-9999999999999999999", "1 2"])
  func `takes nothing else for one`(text: String) {
    #expect(Topology.numbers(text, upTo: 63) == nil)
  }

  @Test func `this machine is read without a word wrong`() {
    let topology = Topology.current(needsAll: true)
    // A kernel without CONFIG_NUMA tells of none.
    guard !topology.nodes.isEmpty else { return }
    #expect(!topology.usable.isEmpty)
    if topology.nodes.count == 1 { #expect(Topology.current() == .single) }
  }
}

@Suite struct DeviceNodeTests {
  private static var sys: RecordedSys {
    var sys = RecordedSys.two
    sys.files["devices/pci0000:80/0000:80:01.0/numa_node"] = "1\n"
    sys.files["devices/pci0000:80/0000:80:01.0/nvme/nvme0/nvme0n1/nvme0n1p2/size"] = "1\n"
    sys.files["devices/pci0000:00/0000:00:02.0/numa_node"] = "-1\n"
    sys.files["devices/pci0000:00/0000:00:02.0/virtio1/block/vda/size"] = "1\n"
    sys.files["devices/pci0000:00/0000:00:03.0/numa_node"] = "0\n"
    sys.files["devices/pci0000:00/0000:00:03.0/net/eth0/mtu"] = "1500\n"
    sys.files["devices/virtual/block/dm-0/size"] = "1\n"
    sys.files["devices/virtual/net/lo/mtu"] = "65536\n"
    let disk = "devices/pci0000:80/0000:80:01.0/nvme/nvme0/nvme0n1/nvme0n1p2"
    sys.links["dev/block/259:2"] = "../../\(disk)"
    sys.links["dev/block/254:0"] = "../../devices/pci0000:00/0000:00:02.0/virtio1/block/vda"
    sys.links["dev/block/253:0"] = "../../devices/virtual/block/dm-0"
    sys.links["devices/virtual/block/dm-0/slaves/nvme0n1p2"] = "../../../../../\(disk)"
    sys.links["dev/block/253:1"] = "../../../../../../etc"
    sys.links["class/net/eth0"] = "../../devices/pci0000:00/0000:00:03.0/net/eth0"
    sys.links["class/net/lo"] = "../../devices/virtual/net/lo"
    return sys
  }

  private static func number(_ major: UInt64, _ minor: UInt64) -> UInt64 { major << 8 | minor }

  @Test func `finds the node of a disk by what is above it`() async throws {
    try await Self.sys.with { sys in
      #expect(Topology.node(ofFilesystem: Self.number(259, 2), sys) == 1)
      // The kernel does not know.
      #expect(Topology.node(ofFilesystem: Self.number(254, 0), sys) == nil)
      // A filesystem without a device.
      #expect(Topology.node(ofFilesystem: Self.number(0, 40), sys) == nil)
      // What leads out of /sys.
      #expect(Topology.node(ofFilesystem: Self.number(253, 1), sys) == nil)
    }
  }

  @Test func `finds the node of a device that is made of others`() async throws {
    var recorded = Self.sys
    try await recorded.with { #expect(Topology.node(ofFilesystem: Self.number(253, 0), $0) == 1) }
    // Of two that are far from each other, none.
    recorded.links["devices/virtual/block/dm-0/slaves/vda"] =
      "../../../../../devices/pci0000:00/0000:00:02.0/virtio1/block/vda"
    try await recorded.with { #expect(Topology.node(ofFilesystem: Self.number(253, 0), $0) == nil) }
    // One that is made of itself.
    recorded.links["devices/virtual/block/dm-0/slaves"] = nil
    recorded.links = recorded.links.filter { !$0.key.contains("slaves") }
    recorded.links["devices/virtual/block/dm-0/slaves/dm-0"] = "../../dm-0"
    try await recorded.with { #expect(Topology.node(ofFilesystem: Self.number(253, 0), $0) == nil) }
  }

  @Test func `finds the node of a network interface`() async throws {
    try await Self.sys.with { sys in
      #expect(Topology.node(ofInterface: "eth0", sys) == 0)
      #expect(Topology.node(ofInterface: "lo", sys) == nil)
      #expect(Topology.node(ofInterface: "eth1", sys) == nil)
    }
  }
}
