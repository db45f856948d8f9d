import ArgumentParser
import Sluice

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
    help: ArgumentHelp("A round that copies fewer pages than this is the last.", valueName: "pages"))
  var untilPages = RoundPolicy().untilPages

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "A round that finds at least so much of the memory unchanged is the last.", valueName: "percent"))
  var untilSkipped = RoundPolicy().untilSkippedPercent

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "A round that copies at least so many pages more than the one before is the last.", valueName: "pages"))
  var maxGrowth = RoundPolicy().maxGrowthPages

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("No round begins when so much time has passed since the first.", valueName: "seconds"))
  var maxTime: Double?

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
    guard (0...100).contains(untilSkipped) else {
      throw ValidationError("--until-skipped takes a number from 0 to 100")
    }
    if let maxTime, !(0...1e9).contains(maxTime) {
      throw ValidationError("--max-time takes a number of seconds from 0 up")
    }
  }

  /// What becomes of the processes in the last round; nil where it is like the others.
  var lastRound: PreDumpRounds.LastRound? { final ? leaveStopped ? .leavesStopped : .resumes : nil }

  /// Nil where there is but one pre-dump, into the images directory itself.
  var policy: RoundPolicy? {
    guard let rounds = rounds ?? (final || then != nil ? 1 : nil) else { return nil }
    var policy = RoundPolicy()
    policy.rounds = rounds
    policy.untilPages = untilPages
    policy.untilSkippedPercent = untilSkipped
    policy.maxGrowthPages = maxGrowth
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
    }
  }
}
