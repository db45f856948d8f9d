internal import Logging
internal import SluiceImages

/// Several pre-dumps of the same processes, each on top of the one before, until little is left to copy.
///
/// ```swift
/// var rounds = try PreDumpRounds(configuration, policy: policy)
/// while let round = try await rounds.next() {
///   rounds.ended(try await round.run())
/// }
/// ```
///
/// They go into the directories 1, 2, 3 and so on below the images directory.
public struct PreDumpRounds: Sendable {
  private let configuration: PreDump.Configuration
  private let policy: RoundPolicy
  private let began = ContinuousClock.now
  private var last: RoundPolicy.Figures?
  private var decision = RoundPolicy.Decision.goOn(pause: .zero)
  /// The number of the round that `next` has given last, from 1; 0 before the first.
  public private(set) var number = 0

  /// Prepares rounds; the directory that theirs are in is made where there is none.
  ///
  /// - Parameters:
  ///   - configuration: of each round. Its parent, if it has one, is that of the first.
  ///   - policy: when to end.
  /// - Throws: `PreDumpError` with `cannotCreate`.
  public init(_ configuration: PreDump.Configuration, policy: RoundPolicy) throws(PreDumpError) {
    self.configuration = configuration
    self.policy = policy
    try onImages { () throws(ImagesError) in
      try UnfinishedImages.makeDirectory(at: configuration.imagesDirectory)
    }
  }

  /// Why there is no further round; nil while there may be one.
  public var end: RoundPolicy.End? {
    guard case .end(let end) = decision else { return nil }
    return end
  }

  /// The next round, after the pause before it.
  ///
  /// - Returns: nil when the policy says that it is enough.
  /// - Throws: `PreDumpError` with `cancelled`.
  public mutating func next() async throws(PreDumpError) -> PreDump? {
    guard case .goOn(let pause) = decision else { return nil }
    do { try await Task.sleep(for: pause) } catch { throw .cancelled }
    var round = configuration
    if number > 0 { round.parentDirectory = directory(number) }
    number += 1
    round.imagesDirectory = directory(number)
    return PreDump(round)
  }

  /// Takes note of how the round went that `next` has given.
  public mutating func ended(_ report: PreDumpReport) {
    let figures = RoundPolicy.Figures(
      pagesWritten: report.pagesWritten, pagesSkippedParent: report.pagesSkippedParent,
      duration: .microseconds(Int64(clamping: report.durationMicroseconds)), elapsed: began.duration(to: .now)
    )
    decision = policy.decide(number: number, last: figures, previous: last)
    last = figures
    if number == 1, report.tracker == .none, end == nil {
      configuration.logger.warning(
        "every round copies everything, since nothing tells what was written (tracker: none)")
    }
  }

  private func directory(_ number: Int) -> String { "\(configuration.imagesDirectory)/\(number)" }
}
