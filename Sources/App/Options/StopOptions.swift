import ArgumentParser
import Sluice

/// The option that says how long processes may be stopped.
struct StopOptions: ParsableArguments {
  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "The longest time that the processes may be stopped, from the first stop until all of them run again.",
      discussion: "What would take longer fails, and the processes run on.", valueName: "seconds"))
  var stopTimeout = Self.usual

  static let usual = 30.0

  /// Nothing is stopped in less.
  static let shortest = 0.001
  /// As good as for ever.
  static let longest: UInt32 = 1_000_000

  func validate() throws {
    guard stopTimeout >= Self.shortest, stopTimeout <= Double(Self.longest) else {
      throw ValidationError(
        "--stop-timeout must be from \(Self.shortest) to \(Self.longest) (seconds)")
    }
  }

  var limit: Duration { .seconds(stopTimeout) }
}
