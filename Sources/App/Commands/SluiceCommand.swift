import ArgumentParser
import Glibc

/// The command `sluice`.
@main
struct SluiceCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "sluice",
    abstract: "Copies the memory of a running process into CRIU images, while it keeps running.",
    discussion: """
      CRIU saves a process to files (images) and restores it from them; it stops the process to copy its memory. \
      Sluice copies the memory ahead of time, from outside, while the process keeps running. 'criu dump \
      --track-mem --prev-images-dir' then builds on Sluice's images, and copies only what the process has written \
      since:

        sluice pre-dump -t 4711 -D images/1
        criu dump -t 4711 -D images/2 --track-mem --prev-images-dir ../1

      Sluice copies memory and nothing else. To restore the process, CRIU's dump is needed as well.

      Exit codes: 0 done; 64 wrong usage; 65 broken images; 66 no such process or directory, or no CRIU; 71 the system \
      refused something; 73 cannot create the images or another file; 74 reading or writing failed; 75 the process went \
      away; 77 not permitted; 124 ended by --timeout; 129, 130, 143 ended by SIGHUP, SIGINT, SIGTERM; 141 the reader of \
      standard output has gone.
      """,
    version: SluiceVersion.text,
    subcommands: [
      PreDumpCommand.self, ShowCommand.self, VerifyCommand.self, FlattenCommand.self, DedupCommand.self,
      PageServerCommand.self, CoreCommand.self, CheckCommand.self, DirtyRateCommand.self, TopCommand.self,
      SwrkCommand.self,
    ])

  static func main() async {
    // A reader that went away shows as a failed write (EPIPE), not as our death in the middle.
    _ = signal(SIGPIPE, SIG_IGN)
    var limit: rlimit?
    do {
      let (parsed, leftOut) = CriuName.isOurs ? try CriuName.command() : try command()
      var command = parsed
      // CRIU, which may follow in our place, has its own view of it.
      if !(command is SwrkCommand) { limit = DescriptorLimit.raise() }
      if let preDump = command as? PreDumpCommand {
        try await preDump.run(tellingOf: leftOut)
      } else if var command = command as? any AsyncParsableCommand {
        try await command.run()
      } else {
        try command.run()
      }
    } catch let needed as NeedsCriu {
      DescriptorLimit.set(limit)
      CriuName.handOn(because: needed.reason)
    } catch let code as ExitCode {
      // What went wrong has been said.
      exit(withError: code)
    } catch {
      // --help and --version come here too.
      guard exitCode(for: error) != .success else { exit(withError: error) }
      let problem = UsageMessage.text(message(for: error), Array(CommandLine.arguments.dropFirst()))
      Terminal.message("sluice: \(problem) (see '\(help)')", level: .error)
      exit(withError: ExitCode(exitCode(for: error).rawValue))
    }
  }
}

extension SluiceCommand {
  /// The commands that there are.
  private static var names: [String] { configuration.subcommands.compactMap { $0.configuration.commandName } }

  /// Where it is told how the command, or the subcommand that was given, is used.
  private static var help: String {
    guard let name = CommandLine.arguments.dropFirst().first, names.contains(name) else {
      return "sluice --help"
    }
    return "sluice \(name) --help"
  }

  /// The command that was given, and which of CRIU's options it leaves out, a line each.
  private static func command() throws -> (command: any ParsableCommand, leftOut: [String]) {
    let given = Array(CommandLine.arguments.dropFirst())
    if let problem = MistypedCommand.problem(given, commands: names) { throw ValidationError(problem) }
    guard given.first == PreDumpCommand.configuration.commandName else {
      return (try parseAsRoot(given), [])
    }
    do {
      let options = try CriuOptions(Array(given.dropFirst()), for: .sluice, in: .ours)
      return (try parseAsRoot(given.prefix(1) + options.arguments), options.leftOut)
    } catch let problem as CriuOptions.Problem {
      throw ValidationError(problem.message)
    }
  }
}

enum SluiceVersion {
  /// As in CHANGELOG.md.
  static let text = "0.1.0"
}
