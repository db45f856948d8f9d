import Logging
import ServiceLifecycle
import Sluice
import Synchronization

/// Makes dumps that others ask for, so many at once, in one runtime with one budget. When the group shuts down, those that are
/// under way end, and nothing of them is left.
final class DumpService: Service {
  /// What has become of a dump.
  enum Outcome: Sendable {
    case waiting
    case running
    case done(pages: UInt64)
    case failed(String)
  }

  private let runtime: SluiceRuntime
  private let directory: String
  private let most: Int
  private let observer: any SluiceObserver
  private let logger: Logger
  private let (wanted, asked) = AsyncStream.makeStream(of: (name: String, pid: Int32).self)
  private let outcomes = Mutex<[(name: String, outcome: Outcome)]>([])
  private let count = Atomic<Int>(0)
  /// Older ones are forgotten.
  private static let mostOutcomes = 1000

  init(_ runtime: SluiceRuntime, directory: String, most: Int, observer: any SluiceObserver, logger: Logger) {
    self.runtime = runtime
    self.directory = directory
    self.most = most
    self.observer = observer
    self.logger = logger
  }

  /// Asks for a dump.
  ///
  /// - Returns: its name, which its directory has as well.
  func ask(_ pid: Int32) -> String {
    let number = count.add(1, ordering: .relaxed).newValue
    let name = "\(pid)-\(number)"
    outcomes.withLock { outcomes in
      outcomes.append((name, .waiting))
      outcomes.removeFirst(max(0, outcomes.count - Self.mostOutcomes))
    }
    asked.yield((name, pid))
    return name
  }

  /// What has become of a dump; nil for one that is not known.
  func outcome(of name: String) -> Outcome? {
    outcomes.withLock { $0.last { $0.name == name }?.outcome }
  }

  func run() async throws {
    await cancelWhenGracefulShutdown { [self] in
      await withTaskGroup(of: Void.self) { group in
        var running = 0
        for await (name, pid) in wanted {
          if running >= most {
            await group.next()
            running -= 1
          }
          running += 1
          group.addTask { await self.dump(name, pid) }
        }
      }
    }
  }

  private func dump(_ name: String, _ pid: Int32) async {
    note(.running, of: name)
    var configuration = PreDump.Configuration(pid: pid, imagesDirectory: "\(directory)/\(name)")
    configuration.tracker = .none
    configuration.observer = observer
    configuration.logger = logger
    do {
      let report = try await PreDump(configuration, in: runtime).run()
      note(.done(pages: report.pagesWritten), of: name)
    } catch {
      note(.failed("\(error)"), of: name)
    }
  }

  private func note(_ outcome: Outcome, of name: String) {
    outcomes.withLock { outcomes in
      guard let index = outcomes.lastIndex(where: { $0.name == name }) else { return }
      outcomes[index].outcome = outcome
    }
    logger.info("\(name): \(outcome)")
  }
}

/// Asks for dumps of the same processes again and again.
struct Schedule: Service {
  let dumps: DumpService
  let pids: [Int32]
  let interval: Duration

  func run() async throws {
    try? await cancelWhenGracefulShutdown {
      while !Task.isCancelled {
        for pid in pids { _ = dumps.ask(pid) }
        try await Task.sleep(for: interval)
      }
    }
  }
}
