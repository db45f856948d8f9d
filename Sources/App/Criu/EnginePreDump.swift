import ArgumentParser
import Glibc
import SluiceWire

/// A pre-dump as an engine asks for it, as the command `sluice pre-dump` that does the same.
struct EnginePreDump {
  /// The file that messages go to; nil for standard error.
  let logPath: String?
  /// Options that a pre-dump of memory has no use for, and that were set.
  private let unused: [String]
  /// A configuration file, which goes before all that is asked for.
  private let configuration: String?
  /// The arguments of the command.
  private let arguments: [String]

  /// Finds the directories, so that what else may be wrong can be told in the log.
  ///
  /// - Parameter engine: the process whose descriptors are spoken of.
  /// - Throws: `EngineAnswer.Failure` when it cannot be meant.
  init(_ options: EngineRequest.Options?, engine: Int32) throws(EngineAnswer.Failure) {
    guard let options, let pid = options.pid else {
      throw Self.invalid("the request for a pre-dump names no process")
    }
    let place = try EnginePlace(options, engine: engine)
    logPath = place.log
    let (images, work) = (place.images, place.work)

    // With the values attached, whatever they begin with.
    var arguments = ["--tree=\(pid)", "--images-dir=\(images)", "-v\(options.logLevel)"]
    if let work { arguments.append("--work-dir=\(work)") }
    if let parent = options.parent { arguments.append("--prev-images-dir=\(parent)") }
    if options.dedups { arguments.append("--auto-dedup") }
    if let cgroup = options.freezeCgroup { arguments.append("--freeze-cgroup=\(cgroup)") }
    if let timeout = options.timeout { arguments.append("--timeout=\(timeout)") }
    if let server = options.pageServer {
      arguments.append("--page-server")
      if let address = server.address { arguments.append("--address=\(address)") }
      if let port = server.port { arguments.append("--port=\(port)") }
      if let descriptor = server.descriptor { arguments.append("--ps-socket=\(descriptor)") }
      arguments += options.tls?.arguments ?? []
    }
    self.arguments = arguments
    configuration = options.configurationFile
    unused = options.leftOut
  }

  /// The command, and what was left out, a line each.
  ///
  /// - Throws: `CriuOptions.Problem` where a configuration file has what only CRIU can do, or say what is wrong with;
  ///   `EngineAnswer.Failure` when the command cannot be understood.
  func command() throws -> (command: PreDumpCommand, leftOut: [String]) {
    let options = try CriuOptions(
      arguments, for: .engine(configuration: configuration), in: .ours)
    do {
      let command = try PreDumpCommand.parse(options.arguments + ["--progress=none"])
      return (command, unused.map { "the engine's option \($0) is ignored" } + options.leftOut)
    } catch {
      throw Self.invalid(PreDumpCommand.message(for: error))
    }
  }

  /// Engines name the cgroup of the freezer, whichever version it has; only that of version 2 is of use to us. Without it
  /// threads are stopped one by one.
  static func freezes(_ cgroup: String) -> Bool {
    unsafe access("\(cgroup)/cgroup.freeze", W_OK) == 0
  }

  private static func invalid(_ message: String) -> EngineAnswer.Failure {
    EngineAnswer.Failure(errno: EINVAL, message: message)
  }
}
