import ArgumentParser
import Glibc
import SluiceWire

/// Only CRIU can do what was asked for, and nothing has been done yet.
struct NeedsCriu: Error {
  let reason: String
}

/// The name `criu`, by which this program is called when it stands in CRIU's place.
enum CriuName {
  /// Whether we are called by that name.
  static var isOurs: Bool {
    CommandLine.arguments.first?.split(separator: "/").last == "criu"
  }

  /// What Sluice does itself of what CRIU is asked for, and which of its options are left out, a line each. For all else,
  /// and where something is wrong with the arguments, the real CRIU takes our place.
  static func command() throws -> (command: any ParsableCommand, leftOut: [String]) {
    let given = Array(CommandLine.arguments.dropFirst())
    // By CRIU's own rule it comes first, and options do not follow.
    if given.first == SwrkCommand.configuration.commandName {
      return (try SluiceCommand.parseAsRoot(given), [])
    }
    do {
      let options = try CriuOptions(given, for: .criu, in: .ours)
      switch options.verb {
      case .preDump: return (try PreDumpCommand.parse(options.arguments), options.leftOut)
      case .pageServer:
        return (try PageServerCommand.parse(options.arguments + ["--first-client"]), options.leftOut)
      }
    } catch let problem as CriuOptions.Problem {
      handOn(because: problem.message)
    } catch {
      handOn(because: PreDumpCommand.message(for: error))
    }
  }

  /// Becomes the real CRIU, with our arguments; or says why that is not possible, and ends.
  ///
  /// - Parameter reason: why Sluice does not do it itself.
  static func handOn(because reason: String) -> Never {
    let failure: EngineAnswer.Failure
    do throws(EngineAnswer.Failure) {
      failure = try RealCriu(named: nil).execute(Array(CommandLine.arguments.dropFirst()))
    } catch {
      failure = error
    }
    Terminal.message("sluice: \(failure.message) (Sluice does not do this: \(reason))")
    exit(failure.errno == ENOENT ? 66 : 71)
  }
}
