import ArgumentParser
import Sluice

/// `--if-not-converging`
enum NotConvergingOption: String, ExpressibleByArgument, CaseIterable {
  case stop
  case fail

  var value: RoundPolicy.IfNotConverging {
    switch self {
    case .stop: .stop
    case .fail: .fail
    }
  }
}

/// The options that say how many rounds there are.
struct RoundOptions: ParsableArguments {
  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "Make up to N rounds, each on top of the one before, into DIR/1, DIR/2 and so on.",
      discussion:
        "They end earlier when more of them would not help; the next four options say when that is.",
      valueName: "n"))
  var rounds: Int?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "A round that copies fewer pages than this is the last. (default: \(RoundPolicy().untilPages); with --max-stop none)",
      valueName: "pages"))
  var untilPages: UInt64?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "A round that finds at least so much of the memory unchanged is the last. (default: \(Int(RoundPolicy().untilSkippedPercent)); with --max-stop none)",
      valueName: "percent"))
  var untilSkipped: Double?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "A round that copies at least so many pages more than the one before is the last. (default: \(RoundPolicy().maxGrowthPages); with --max-stop none)",
      valueName: "pages"))
  var maxGrowth: UInt64?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("No round begins when so much time has passed since the first.", valueName: "seconds"))
  var maxTime: Double?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "With --final, make rounds until the stop for what is left is predicted to take no longer than this, as long as each makes it shorter.",
      discussion: """
        The prediction goes by what was written until then, the rate at which it is read, and how many threads are to be \
        stopped. Of the other bounds only those hold that are given; without --rounds there are \(Self.mostRoundsToFit) at most. The figures of \
        each round have the prediction, those of the last also what it came to.
        """,
      valueName: "ms"))
  var maxStop: Double?

  @Option(
    help: ArgumentHelp(
      "With --max-stop, where rounds do not make the stop short enough: stop all the same, or fail and leave the processes running.",
      valueName: "what"))
  var ifNotConverging = NotConvergingOption.stop

  /// Rounds that do not come to their end in these hardly ever do.
  static let mostRoundsToFit = 30

  @Flag(
    help: ArgumentHelp(
      "Have the last round stop the processes and copy all that is left: with the others it has the memory of one moment.",
      discussion: "Without --rounds it is the only one."))
  var final = false

  @Flag(help: "With --final, leave the processes stopped (SIGSTOP, or frozen with --freeze-cgroup).")
  var leaveStopped = false

  @Option(
    help: ArgumentHelp(
      "After the last round, run this command, which is to make the final dump; end with its status.",
      discussion: """
        What was written goes on being tracked until it ends, so that CRIU sees memory, too, that the process moves \
        meanwhile. {pid} stands for the process, {dir} for a new directory beside those of the rounds, {parent} for the \
        way from there to the last of them, such as in 'criu dump -t {pid} -D {dir} --track-mem --prev-images-dir \
        {parent}'.
        """,
      valueName: "command"))
  var then: String?

  func validate() throws {
    if then != nil, final {
      throw ValidationError(
        "--then and --final exclude each other: either CRIU makes the final dump or Sluice")
    }
    if leaveStopped, !final {
      throw ValidationError("--leave-stopped takes --final: other pre-dumps leave the processes running")
    }
    if let rounds, rounds < 1 { throw ValidationError("--rounds takes a number from 1 up") }
    if let untilSkipped, !(0...100).contains(untilSkipped) {
      throw ValidationError("--until-skipped takes a number from 0 to 100")
    }
    if let maxStop {
      guard final else { throw ValidationError("--max-stop takes --final: it is about the stop of that") }
      guard maxStop > 0, maxStop <= 1e9 else {
        throw ValidationError("--max-stop takes a number of milliseconds above 0")
      }
    } else if ifNotConverging == .fail {
      throw ValidationError("--if-not-converging takes --max-stop")
    }
    if let maxTime, !(0...1e9).contains(maxTime) {
      throw ValidationError("--max-time takes a number of seconds from 0 up")
    }
  }

  /// What becomes of the processes in the last round; nil where it is like the others.
  var lastRound: PreDumpRounds.LastRound? { final ? leaveStopped ? .leavesStopped : .resumes : nil }

  /// Nil where there is but one pre-dump, into the images directory itself.
  var policy: RoundPolicy? {
    let usual = maxStop != nil ? Self.mostRoundsToFit : final || then != nil ? 1 : nil
    guard let rounds = rounds ?? usual else { return nil }
    var policy = RoundPolicy()
    policy.rounds = rounds
    if let maxStop {
      policy.maxStop = .seconds(maxStop / 1000)
      policy.ifNotConverging = ifNotConverging.value
      (policy.untilPages, policy.untilSkippedPercent, policy.maxGrowthPages) = (0, 101, .max)
    }
    if let untilPages { policy.untilPages = untilPages }
    if let untilSkipped { policy.untilSkippedPercent = untilSkipped }
    if let maxGrowth { policy.maxGrowthPages = maxGrowth }
    policy.maxTime = maxTime.map { .seconds($0) }
    return policy
  }
}

extension RoundPolicy.End {
  /// Why there is no further round, for people.
  var text: String {
    switch self {
    case .rounds: "that was the last round that was asked for"
    case .fewPages: "few enough pages for the final dump"
    case .mostlyClean: "most pages are clean"
    case .growth: "it does not get less any more"
    case .time: "the time is up"
    case .stopFits: "the stop for what is left is short enough"
    case .noConvergence: "another round would not make the stop shorter"
    }
  }
}
