import SluiceTestSupport
import Testing

@testable import Sluice

/// What an embedder gets wrong is an error, before anything is done.
@Suite(.timeLimit(.minutes(15))) struct ConfigurationTests {
  enum Mistake: CaseIterable {
    case noReaders, manyReaders, noReadersOnNodes, manyReadersOnNodes, lessReadersOnANode, readersOnNoNode,
      readersOnNodesThatAreOff,
      noWrites, fewerWrites, manyWrites, noTime, allTime, noBudget, smallBudget,
      noParent
    case noDirectory

    func make(_ configuration: inout PreDump.Configuration) {
      switch self {
      case .noReaders: configuration.readers = 0
      case .manyReaders: configuration.readers = 257
      case .noReadersOnNodes: configuration.readersOnNodes = [0: 0]
      case .manyReadersOnNodes: configuration.readersOnNodes = [0: 256, 1: 1]
      case .lessReadersOnANode: configuration.readersOnNodes = [0: 1, 1: -1]
      case .readersOnNoNode: configuration.readersOnNodes = [1023: 1]
      case .readersOnNodesThatAreOff:
        configuration.readersOnNodes = [0: 1]
        configuration.numa = .off
      case .noWrites: configuration.queueDepth = 0
      case .fewerWrites: configuration.queueDepth = .min
      case .manyWrites: configuration.queueDepth = 40_000
      case .noTime: configuration.readTimeLimit = .zero
      case .allTime: configuration.readTimeLimit = .seconds(Int64.max)
      case .noBudget: configuration.memoryBudget = .min
      case .smallBudget: configuration.memoryBudget = 1 << 16
      case .noParent: configuration.parentDirectory = ""
      case .noDirectory: configuration.imagesDirectory = ""
      }
    }
  }

  @Test(arguments: Mistake.allCases)
  func `a pre-dump that cannot be meant is refused`(mistake: Mistake) async throws {
    try await MemoryTarget.run(["--size", "1M"]) { target in
      try await withTemporaryDirectory { directory in
        var configuration = PreDump.Configuration(pid: target.pid, imagesDirectory: "\(directory)/images")
        mistake.make(&configuration)
        let wrong = configuration
        let error = await #expect(throws: SluiceError.self) { try await PreDump(wrong).run() }
        let code: SluiceError.Code = mistake == .noDirectory ? .cannotCreate : .invalidArgument
        #expect(error?.code == code, "\(error?.message ?? "")")
        #expect(names(in: directory) == [])
      }
      try await target.check()
    }
  }

  @Test(
    arguments: [
      (0, 70, 1), (.min, 70, 1), (1, -1, 1), (1, .nan, 1), (1, 70, -1),
    ] as [(Int, Double, Int)])
  func `rounds that cannot be meant are refused`(rounds: Int, percent: Double, seconds: Int) async throws {
    try await MemoryTarget.run(["--size", "1M"]) { target in
      try await withTemporaryDirectory { directory in
        var policy = RoundPolicy()
        (policy.rounds, policy.untilSkippedPercent, policy.maxTime) = (rounds, percent, .seconds(seconds))
        let configuration = PreDump.Configuration(pid: target.pid, imagesDirectory: "\(directory)/images")
        for last in [nil, PreDumpRounds.LastRound.resumes] {
          let error = #expect(throws: SluiceError.self) {
            try RoundSequence(configuration, policy: policy, lastRound: last)
          }
          #expect(error?.code == .invalidArgument)
        }
        #expect(names(in: directory) == [])
      }
    }
  }

  @Test func `images without a place are refused`() async {
    let error = await #expect(throws: SluiceError.self) {
      try await FlattenImages(directory: "/nowhere", output: "").run()
    }
    #expect(error?.code == .invalidArgument)
  }
}
