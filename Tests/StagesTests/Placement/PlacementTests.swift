import CSluiceLinux
import Foundation
import SluicePipeline
import SluiceTarget
import SluiceTestSupport
import Testing

@testable import Sluice

extension StagesTests {
  @Suite("Placement of runs", .timeLimit(.minutes(15)))
  struct PlacementTests {
    private static func node(_ number: Int, memory: UInt64 = 1 << 30, processors: [UInt32]) -> Topology.Node {
      Topology.Node(
        number: number, processors: processors, memoryBytes: memory, givesMemory: memory > 0,
        distances: [0: number == 0 ? 10 : 20, 1: number == 1 ? 10 : 20])
    }

    private static let two = Topology(nodes: [node(0, processors: [0]), node(1, processors: [0])])

    @Test func `a wish is granted by what there is`() throws {
      var configuration = PreDump.Configuration(pid: 1)
      configuration.readers = 2
      let both = try PlacementWish(configuration, on: Self.two)
      #expect(both.placement?.places.map(\.node) == [0, 1] && both.readers == 4)
      let one = try PlacementWish(configuration, on: .single)
      #expect(one.placement == nil && one.readers == 2)
      #expect(one.shares(of: []) == [1])
      #expect(one.writer(filesystem: 0, interface: "lo")?.node == nil)
      configuration.numa = .off
      let off = try PlacementWish(configuration, on: Self.two)
      #expect(off.placement == nil && off.readers == 2)
      configuration.numa = .automatic
      configuration.readersOnNodes = [1: 3]
      let named = try PlacementWish(configuration, on: Self.two)
      #expect(named.placement?.places.map(\.node) == [1] && named.readers == 3)
      #expect(named.placement?.homes == [0: 0, 1: 0])
      configuration.readersOnNodes = [2: 1]
      let error = #expect(throws: SluiceError.self) { try PlacementWish(configuration, on: Self.two) }
      #expect(error?.code == .invalidArgument && error?.message.contains("node 2") == true)
    }

    @Test func `shares go by what the nodes hold`() async throws {
      try await MemoryTarget.run(["--size", "32M"]) { target in
        let wish = try PlacementWish(PreDump.Configuration(pid: target.pid), on: Self.two)
        let shares = wish.shares(of: [try TargetProcess(pid: target.pid)])
        // All that there is, is on node 0, where the kernel knows nodes.
        #expect(shares == (Kernel.knowsNodes ? [0.875, 0.125] : [1, 1]))
        try await target.check()
      }
    }

    @Test func `a pre-dump on nodes that give no memory goes on without, and says so`() async throws {
      try await MemoryTarget.run(["--size", "16M", "--write-rate", "0"]) { target in
        try await withTemporaryDirectory { directory in
          let log = RecordedLog()
          try await target.program.stop()
          let runtime = SluiceRuntime(
            memoryBudget: 16 << 20,
            topology: Topology(nodes: [Self.node(0, processors: [0]), Self.node(1, processors: [0])]))
          for round in 1...2 {
            var configuration = PreDump.Configuration(
              pid: target.pid, imagesDirectory: "\(directory)/\(round)")
            configuration.logger = log.logger
            let report = try await PreDump(configuration, in: runtime).run()
            let told = try #require(report.numa)
            #expect(report.readers == 2)
            // A machine that does have a node 1 gives it.
            if Kernel.hasOneNode { #expect(told.givenUp != nil) }
            try await StagesTests.expectEqual(target.pid, "\(directory)/\(round)")
          }
          if Kernel.hasOneNode {
            #expect(log.lines.filter { $0.contains("without NUMA placement") }.count == 1, "\(log.lines)")
          }
          await runtime.shutdown()
        }
        target.program.resume()
        try await target.check()
      }
      try await StagesTests.expectNoThreads()
    }

    @Test func `what there is of nodes is told`() {
      let found = Capabilities.nodes(Self.two)
      #expect(found.isAvailable == true && found.found.contains("2 nodes"), "\(found)")
      #expect(found.found.contains("node 1: 1 reader on processor 0"), "\(found)")
      let one = Capabilities.nodes(.single)
      #expect(one.isAvailable == true && one.found == "the machine has one node, so nothing is placed")
      let cut = Capabilities.nodes(
        Topology(
          nodes: [Self.node(0, processors: [0, 1]), Self.node(1, processors: [])],
          limits: .init(memoryBytes: 64 << 20, processors: 1.5)))
      #expect(cut.isAvailable == false && cut.advice != nil)
      #expect(cut.found.contains("64 MiB of memory and the time of 1.50 processors"), "\(cut)")
    }

    @Test func `with one node nothing is asked of nodes, and nothing is told of them`() async throws {
      guard Kernel.hasOneNode else { return }
      try await MemoryTarget.run(["--size", "8M"]) { target in
        try await withTemporaryDirectory { directory in
          let report = "\(directory)/report"
          await #expect(processExitsWith: .success) {
            [pid = target.pid as Int32, directory = directory as String] in
            await OwnProcess.report(to: "\(directory)/report") { _ in
              Faults.start(.none)
              let told = try await PreDump(.init(pid: pid, imagesDirectory: "\(directory)/images")).run()
              let calls = Faults.stop().calls
              let asked = [Faults.Site.preferNode, .nodesOfPages].map { calls[Int($0.rawValue)] }
              return "\(told.numa == nil) \(told.readers) \(asked)"
            }
          }
          #expect(OwnProcess.reported(at: report) == "true 1 [0, 0]")
        }
        try await target.check()
      }
    }
  }
}

extension Kernel {
  /// Whether the machine has one node, or tells of none.
  static var hasOneNode: Bool { Topology.current(needsAll: true).nodes.count <= 1 }
}
