import ArgumentParser
import Glibc

/// What CRIU's options of a pre-dump come to in Sluice's own: its spellings are translated, what concerns files, sockets
/// and namespaces, which a pre-dump of memory has nothing to do with, is left out, and what only CRIU can do is told.
///
/// So a script that calls `criu pre-dump` can call `sluice pre-dump` instead, or have us in CRIU's place.
struct CriuOptions {
  /// What is wrong with an option.
  struct Problem: Error {
    let message: String
  }

  /// By whom a pre-dump is asked for.
  enum Caller: Sendable {
    /// One who calls Sluice by its own name, and may give its own options, too.
    case sluice
    /// One who calls Sluice by the name `criu`, and means CRIU.
    case criu
    /// A container engine. What its configuration file says goes before what it asks for.
    case engine(configuration: String?)
  }

  /// What is to be done.
  enum Verb: String, Sendable {
    case preDump = "pre-dump"
    case pageServer = "page-server"
  }

  /// What is looked at beside the arguments.
  struct Surroundings {
    /// The user's home directory, where a configuration file may be.
    var home: String?
    /// A further configuration file, which the environment's CRIU_CONFIG_FILE names.
    var configuration: String?
    /// Reads a configuration file, or gives nil where there is none.
    var read: (String) -> String?
    /// Whether a cgroup that is to be frozen is one that can be; one that cannot is left out, where others than Sluice's
    /// own users name it: LXC and engines name that of the freezer, whichever version it has.
    var freezes: (String) -> Bool
  }

  /// The arguments as Sluice's own parser takes them.
  private(set) var arguments: [String] = []
  /// What was left out, a line each.
  private(set) var leftOut: [String] = []

  /// Whether pages go to a page server.
  private var hasPageServer = false
  /// What is to be done.
  private(set) var verb = Verb.preDump
  private let caller: Caller
  private let surroundings: Surroundings

  /// Translates the arguments of `pre-dump`; the verb is among them where they are meant for CRIU, which takes it anywhere.
  ///
  /// - Throws: `Problem`. Where CRIU is meant, it is CRIU that has to say what is wrong, or to do it.
  init(_ arguments: [String], for caller: Caller, in surroundings: Surroundings) throws(Problem) {
    self.caller = caller
    self.surroundings = surroundings
    let own = try parse(arguments)
    if case .criu = caller { verb = try Self.verb(own.others) }
    var given = try configured(before: own) + own.given.map { Choice($0, isFromFile: false) }
    if case .engine(let file?) = caller { given += try options(in: file) }
    try take(given)
    if case .sluice = caller { self.arguments += own.others }
  }

  /// What is asked for, if it is something that Sluice does, and nothing else.
  private static func verb(_ others: [String]) throws(Problem) -> Verb {
    if let option = others.first(where: { $0.hasPrefix("-") }) {
      throw Problem(message: "\(option) is not an option of CRIU that Sluice knows")
    }
    guard others.count == 1, let verb = Verb(rawValue: others[0]) else {
      throw Problem(
        message: "Sluice makes pre-dumps and is a page server, and does nothing else, by one command")
    }
    return verb
  }
}

extension CriuOptions.Surroundings {
  /// Those of this program.
  static var ours: Self {
    Self(
      home: variable("HOME"), configuration: variable("CRIU_CONFIG_FILE"), read: CriuConfigurationFile.read,
      freezes: EnginePreDump.freezes)
  }

  private static func variable(_ name: String) -> String? {
    unsafe getenv(name).map { unsafe String(cString: $0) }
  }
}

extension CriuOptions {
  /// An option that was given.
  private struct Choice {
    let option: CriuOption
    let value: String?
    let isTakenBack: Bool
    /// Whether a configuration file has it, which is CRIU's.
    let isFromFile: Bool

    init(_ given: CriuArguments.Given, isFromFile: Bool) {
      (option, value, isTakenBack) = (given.option, given.value, given.isTakenBack)
      self.isFromFile = isFromFile
    }
  }

  private var isForCriu: Bool {
    if case .sluice = caller { false } else { true }
  }

  private func parse(_ arguments: [String]) throws(Problem) -> CriuArguments {
    do throws(CriuArguments.Problem) {
      return try CriuArguments(arguments, abbreviates: isForCriu)
    } catch {
      throw Problem(message: error.message)
    }
  }

  /// What configuration files say. As CRIU has it, one that is named stands for those that are always looked for, but not
  /// for the environment's, and one that is not there has nothing to say.
  private func configured(before own: CriuArguments) throws(Problem) -> [Choice] {
    let named = own.given.last { $0.option.name == "config" }?.value
    var files: [String] = []
    if named == nil, !own.given.contains(where: { $0.option.name == "no-default-config" }) {
      files += ["/etc/criu/default.conf"] + (surroundings.home.map { ["\($0)/.criu/default.conf"] } ?? [])
    }
    if let configuration = surroundings.configuration { files.append(configuration) }
    if let named {
      guard isForCriu || surroundings.read(named) != nil else {
        throw Problem(message: "the configuration file \(named) cannot be read")
      }
      files.append(named)
    }
    var choices: [Choice] = []
    for file in files { choices += try options(in: file) }
    return choices
  }

  private func options(in file: String) throws(Problem) -> [Choice] {
    guard let text = surroundings.read(file) else { return [] }
    let arguments: [String]
    do throws(CriuConfigurationFile.Malformed) {
      arguments = try CriuConfigurationFile(text: text).arguments
    } catch {
      throw Problem(
        message: "the line '\(error.line)' of the configuration file \(file) cannot be understood")
    }
    let parsed: CriuArguments
    do throws(CriuArguments.Problem) {
      parsed = try CriuArguments(arguments, abbreviates: true)
    } catch {
      throw Problem(message: "\(error.message) (in the configuration file \(file))")
    }
    // What a file holds beside may be meant for other versions. A flag may have a value there, which CRIU passes over.
    if isForCriu, let other = parsed.others.first(where: { $0.hasPrefix("-") }) {
      throw Problem(
        message: "\(other) in the configuration file \(file) is not an option of CRIU that Sluice knows")
    }
    return parsed.given.map { Choice($0, isFromFile: true) }
  }

  /// Of each option the last one counts, but that -v adds up.
  private mutating func take(_ choices: [Choice]) throws(Problem) {
    var last: [String: Choice] = [:]
    var order: [String] = []
    var level = Self.defaultLevel
    for choice in choices {
      let name = choice.option.name
      if case .done(.verbosity) = choice.option.treatment {
        level = try Self.level(after: level, choice.value)
      }
      if last.updateValue(choice, forKey: name) == nil { order.append(name) }
    }
    hasPageServer = last["page-server"].map { !$0.isTakenBack } ?? false
    for choice in order.compactMap({ last[$0] }) { try take(choice) }
    arguments += Array(repeating: "-v", count: Self.verbosity(ofLevel: level))
    if isForCriu, last["images-dir"] == nil { arguments.append("--images-dir=.") }
  }

  private mutating func take(_ choice: Choice) throws(Problem) {
    let (option, value) = (choice.option, choice.value)
    guard verb == .preDump else { return try takeForServer(option, value ?? "", choice) }
    switch option.treatment {
    case .done(let meaning): try take(meaning, value ?? "", choice)
    case .leftOut(let reason): leave(option, because: reason.rawValue)
    case .handedOn(let advice):
      guard !choice.isTakenBack else { return }
      throw Problem(message: "Sluice has no --\(option.name): \(advice)")
    }
  }

  /// The same for a page server.
  private mutating func takeForServer(
    _ option: CriuOption, _ value: String, _ choice: Choice
  ) throws(Problem) {
    switch option.name {
    case "images-dir", "prev-images-dir", "address", "ps-socket", "status-fd", "log-file", "pidfile",
      "tls-cacert", "tls-cacrl", "tls-cert", "tls-key":
      add("--\(option.name)", value)
    case "port": add("--port", value)
    case "auto-dedup", "daemon", "tls", "tls-no-cn-verify":
      if !choice.isTakenBack { arguments.append("--\(option.name)") }
    case "lazy-pages":
      throw Problem(message: "Sluice's page server gives no pages to a restore")
    case "verbosity", "config", "no-default-config": break
    case "help", "version": throw Problem(message: "--\(option.name) asks about CRIU")
    default: leave(option, because: "a page server has no use for it")
    }
  }

  private mutating func take(
    _ meaning: CriuOption.Meaning, _ value: String, _ choice: Choice
  ) throws(Problem) {
    switch meaning {
    case .process: arguments.append("--tree=\(value)")
    case .imagesDirectory: add("--images-dir", value)
    case .workDirectory: arguments.append("--work-dir=\(value)")
    case .parent: add("--prev-images-dir", value)
    case .logFile: arguments.append("--log-file=\(value)")
    case .dedup: if !choice.isTakenBack { arguments.append("--auto-dedup") }
    case .frozenCgroup:
      guard !isForCriu || surroundings.freezes(value) else {
        return leave(choice.option, because: "\(value) is not a cgroup of version 2 that can be frozen")
      }
      arguments.append("--freeze-cgroup=\(value)")
    case .stopTimeout:
      guard isForCriu || choice.isFromFile else { return arguments.append("--timeout=\(value)") }
      // To CRIU it is the time for stopping the processes, not for the whole run, and 0 is no limit.
      guard let seconds = UInt32(value) else {
        throw Problem(message: "--timeout must be a number of seconds")
      }
      let limit = seconds == 0 ? StopOptions.longest : min(seconds, StopOptions.longest)
      arguments.append("--stop-timeout=\(limit)")
    case .leftStopped:
      // One of our own, too, which takes --final; CRIU leaves them so after any pre-dump.
      guard isForCriu || choice.isFromFile else { return arguments.append("--leave-stopped") }
      throw Problem(
        message:
          "Sluice leaves processes stopped only with its own --final: --leave-stopped alone has no meaning")
    case .preDumpMode:
      // Both mean to read the memory; Sluice knows but one way.
      guard ["read", "splice"].contains(value) else {
        throw Problem(message: "--pre-dump-mode must be read or splice")
      }
      leave(choice.option, because: "Sluice reads the memory in its own way")
    case .pageServer: if hasPageServer { arguments.append("--page-server") }
    case .ofPageServer:
      guard hasPageServer else {
        return leave(choice.option, because: CriuOption.Reason.server.rawValue)
      }
      switch choice.option.value {
      case .required: add("--\(choice.option.name)", value)
      case .none, .optional: if !choice.isTakenBack { arguments.append("--\(choice.option.name)") }
      }
    case .aboutTheProgram:
      guard !isForCriu else { throw Problem(message: "--\(choice.option.name) asks about CRIU") }
      arguments.append("--\(choice.option.name)")
    case .verbosity, .configuration: break
    }
  }

  /// Our parser takes a name with nothing after the sign for one without a value; what is wrong with an empty one is told
  /// where it is used.
  private mutating func add(_ name: String, _ value: String) {
    arguments += value.isEmpty ? [name, value] : ["\(name)=\(value)"]
  }

  private mutating func leave(_ option: CriuOption, because reason: String) {
    leftOut.append("CRIU's option --\(option.name) is ignored: \(reason)")
  }

  /// Warnings are shown, which is what Sluice does without -v.
  private static let defaultLevel = 2
  /// How often -v is to be given for a level of CRIU's. More than two Sluice has nothing to say for.
  static func verbosity(ofLevel level: Int) -> Int { min(2, max(0, level - defaultLevel)) }
  /// More says nothing more, to CRIU neither.
  private static let mostLevel = 1000

  /// The level after -v, -vv, -v4, --verbosity or --verbosity=4.
  private static func level(after level: Int, _ value: String?) throws(Problem) -> Int {
    guard let value else { return min(level + 1, mostLevel) }
    if value.allSatisfy({ $0 == "v" }) { return min(level + 1 + value.count, mostLevel) }
    guard let number = Int(value) else {
      throw Problem(message: "-v must be followed by a number, or by further letters v")
    }
    return max(0, min(number, mostLevel))
  }
}
