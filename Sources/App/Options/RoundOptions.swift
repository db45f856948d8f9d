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
      "Make up to N rounds into DIR/1, DIR/2 and so on, each on top of the one before.",
      discussion: """
        They end earlier when more rounds would not help, as a rule after two or three: the next four options say when. The \
        last line of the output names the newest directory.
        """,
      valueName: "n"))
  var rounds: Int?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "Stop after a round that copied fewer pages than this. (default: \(RoundPolicy().untilPages); with --max-stop none)",
      valueName: "pages"))
  var untilPages: UInt64?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "Stop after a round in which at least this percentage of pages was unchanged. (default: \(Int(RoundPolicy().untilSkippedPercent)); with --max-stop none)",
      valueName: "percent"))
  var untilSkipped: Double?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "Stop after a round that copied at least this many pages more than the one before. (default: \(RoundPolicy().maxGrowthPages); with --max-stop none)",
      valueName: "pages"))
  var maxGrowth: UInt64?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("Start no further round after this many seconds.", valueName: "seconds"))
  var maxTime: Double?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "With --final, make rounds until the stop for what is left is predicted to take no longer than this, as long as each makes it shorter.",
      discussion: """
        The prediction considers how much was written, how fast it can be read, and how many threads are to be stopped. Of \
        the other limits only those hold that are given; without --rounds there are \(Self.mostRoundsToFit) rounds at most. The figures of \
        each round have the prediction, those of the last round also how long the stop was.
        """,
      valueName: "ms"))
  var maxStop: Double?

  @Option(
    help: ArgumentHelp(
      "With --max-stop, if rounds do not make the stop short enough: stop all the same, or fail and leave the processes running.",
      valueName: "what"))
  var ifNotConverging = NotConvergingOption.stop

  /// Rounds that do not come to their end in these hardly ever do.
  static let mostRoundsToFit = 30

  @Flag(
    help: ArgumentHelp(
      "In the last round, stop the processes and copy what is left.",
      discussion: """
        All rounds together then hold the memory as it was at that moment. Memory is all that they hold: a process can be \
        restored only from a dump by CRIU. Without --rounds: make one such round only.
        """))
  var final = false

  @Flag(
    help:
      "With --final, leave the processes stopped: by SIGSTOP ('kill -CONT' ends that), or frozen with --freeze-cgroup."
  )
  var leaveStopped = false

  @Option(
    help: ArgumentHelp(
      "After the last round, run this command, usually 'criu dump', and exit with its status.",
      discussion: """
        Writes stay tracked until the command ends, so CRIU also notices memory that the process moves in the meantime. \
        {pid} is the process, {dir} a new directory beside those of the rounds, {parent} the last round's directory, \
        relative to {dir}: 'criu dump -t {pid} -D {dir} --track-mem --prev-images-dir {parent}'.
        """,
      valueName: "command"))
  var then: String?

  func validate() throws {
    if then != nil, final {
      throw ValidationError(
        "--then and --final exclude each other: use one of them for the last copy")
    }
    if leaveStopped, !final {
      throw ValidationError("--leave-stopped needs --final: other pre-dumps leave the processes running")
    }
    if let rounds, rounds < 1 { throw ValidationError("--rounds must be at least 1") }
    if let untilSkipped, !(0...100).contains(untilSkipped) {
      throw ValidationError("--until-skipped must be from 0 to 100")
    }
    if let maxStop {
      guard final else { throw ValidationError("--max-stop needs --final, whose stop it limits") }
      guard maxStop > 0, maxStop <= 1e9 else {
        throw ValidationError("--max-stop must be above 0 (milliseconds)")
      }
    } else if ifNotConverging == .fail {
      throw ValidationError("--if-not-converging needs --max-stop")
    }
    if let maxTime, !(0...1e9).contains(maxTime) {
      throw ValidationError("--max-time must be at least 0 (seconds)")
    }
    guard policy == nil else { return }
    let given = [
      ("--until-pages", untilPages != nil), ("--until-skipped", untilSkipped != nil),
      ("--max-growth", maxGrowth != nil), ("--max-time", maxTime != nil),
    ]
    if let option = given.first(where: \.1)?.0 {
      throw ValidationError("\(option) needs --rounds: it says when to stop making rounds")
    }
  }

  /// Whether `--then` has CRIU make a dump that builds on the rounds.
  var buildsOnRoundsByCriu: Bool {
    guard let then, then.contains("criu"), then.contains("dump") else { return false }
    return then.contains("{parent}") || then.contains("--prev-images-dir")
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
    case .rounds: "that was the last of --rounds"
    case .fewPages: "few enough pages are left (--until-pages)"
    case .mostlyClean: "most pages were unchanged (--until-skipped)"
    case .growth: "the number of written pages no longer falls (--max-growth)"
    case .time: "the time of --max-time has passed"
    case .stopFits: "the stop for what is left is short enough (--max-stop)"
    case .noConvergence: "another round would not make the stop shorter"
    }
  }
}
