import Foundation
import Sluice
import SluiceTestSupport
import Testing

/// The tests of this module run one after the other: some of them count the threads that a run has left, and
/// the machine has few processors.
@Suite("Stages", .serialized, .timeLimit(.minutes(10)))
enum StagesTests {
  /// The names of our threads that there are at this moment.
  static func threadNames() -> [String] {
    let threads = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/task")) ?? []
    // A thread that ends meanwhile has no name.
    let names = threads.compactMap {
      try? String(contentsOfFile: "/proc/self/task/\($0)/comm", encoding: .utf8)
    }
    return names.filter { $0.hasPrefix("sluice-") }
  }

  /// A thread that was joined may still be listed for a moment.
  static func expectNoThreads() async throws {
    try await eventually("the threads of the run are gone") { threadNames().isEmpty }
  }
}

/// A way to go about a pre-dump: what differs from the usual configuration.
struct Way: Sendable {
  let choose: @Sendable (inout PreDump.Configuration) -> Void

  init(_ choose: @escaping @Sendable (inout PreDump.Configuration) -> Void = { _ in }) {
    self.choose = choose
  }
}

extension Way: CustomTestStringConvertible {
  var testDescription: String {
    var configuration = PreDump.Configuration(pid: 0, imagesDirectory: "")
    choose(&configuration)
    return
      "\(configuration.readers) readers, \(configuration.io), \(configuration.writeEngine), depth \(configuration.queueDepth)"
      + ", registers \(configuration.registersBuffers), syncs \(configuration.syncs), budget \(configuration.memoryBudget)"
  }
}

extension PreDump {
  /// What comes of it.
  consuming func result() async -> Result<PreDumpReport, SluiceError> {
    do throws(SluiceError) { return .success(try await run()) } catch { return .failure(error) }
  }
}
