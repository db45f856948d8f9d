import ArgumentParser
import Glibc
import SluiceImages

/// The name `criu`, by which this program is called when it stands in CRIU's place.
enum CriuName {
  /// What Sluice does itself.
  static let verbs: Set<String> = ["pre-dump", "swrk"]

  /// Whether we are called by that name.
  static var isOurs: Bool {
    CommandLine.arguments.first?.split(separator: "/").last == "criu"
  }

  /// Becomes the real CRIU, with our arguments; or says why that is not possible, and ends.
  static func handOn() -> Never {
    let failure: EngineAnswer.Failure
    do throws(EngineAnswer.Failure) {
      failure = try RealCriu(named: nil).execute(Array(CommandLine.arguments.dropFirst()))
    } catch {
      failure = error
    }
    Terminal.message("sluice: \(failure.message)")
    exit(failure.errno == ENOENT ? 66 : 71)
  }
}
