/// Lets a script that calls `criu pre-dump` call `sluice pre-dump` instead: CRIU's spellings are translated, and what
/// concerns files, sockets and namespaces, which a pre-dump of memory has nothing to do with, is left out.
///
/// The options are those of criu(8), versions 3.17 and 4.2.
struct CriuOptions {
  /// What is wrong with an option.
  struct Problem: Error {
    let message: String
    /// Whether it is something that CRIU can do, and Sluice cannot.
    var isRefusal = false
  }

  /// Options without a value that say what Sluice does anyway, or that concern what it does not touch.
  private static let ignoredFlags: Set<String> = [
    "--track-mem", "--leave-running", "-R", "--shell-job", "-j", "--tcp-established", "--tcp-close",
    "--skip-in-flight", "--file-locks", "-l", "--link-remap", "--evasive-devices", "--force-irmap",
    "--enable-external-sharing", "--enable-external-masters", "--unprivileged", "--weak-sysctls", "--log-pid",
    "--ext-unix-sk", "-x", "--manage-cgroups", "--mntns-compat-mode", "--allow-uprobes",
    "--no-default-config",
  ]
  /// The same with a value.
  private static let ignoredValues: Set<String> = [
    "--ghost-limit", "--external", "--enable-fs", "--cgroup-root", "--cgroup-props", "--cgroup-props-file",
    "--cgroup-dump-controller", "--cgroup-yard", "--empty-ns", "--network-lock", "--lsm-profile",
    "--lsm-mount-context", "--cpu-cap", "--ext-mount-map", "--action-script", "--libdir", "-L",
    "--file-validation", "--skip-mnt", "--join-ns", "--irmap-scan-path",
  ]
  /// What Sluice cannot do, and what to do instead.
  private static let refused: [String: String] = [
    "--page-server": "write into a directory, and copy that",
    "--lazy-pages": "leave it out: it concerns the final dump",
    "--stream": "write into a directory",
    "-s": "a pre-dump leaves the process running",
  ]

  /// The arguments as Sluice's own parser takes them.
  private(set) var arguments: [String] = []

  /// Reads the text of a configuration file, or gives nil where there is none.
  typealias ConfigReader = (String) -> String?
  /// Whether a cgroup that is to be frozen is one that can be.
  private let freezes: (String) -> Bool

  /// Translates the arguments of `pre-dump`, without the verb.
  ///
  /// - Parameters:
  ///   - home: the user's home directory, where a configuration file may be.
  ///   - freezes: whether a cgroup can be frozen; one that cannot is left out. Called for cgroups only.
  ///   - read: reads a file; called for configuration files only.
  init(
    _ given: [String], home: String?, freezes: @escaping (String) -> Bool = { _ in true }, read: ConfigReader
  ) throws(Problem) {
    self.freezes = freezes
    var all: [String] = []
    if !given.contains("--no-default-config") {
      for path in ["/etc/criu/default.conf"] + (home.map { ["\($0)/.criu/default.conf"] } ?? []) {
        all += read(path).map(Self.options) ?? []
      }
    }
    let fromFiles = all.count
    all += given
    var index = 0
    while index < all.count {
      let isOurs = index >= fromFiles
      index += try take(all[index...], isFromFile: !isOurs, read: read)
    }
  }

  /// Takes the first option, and its value where it has one.
  ///
  /// - Returns: how many arguments that were.
  private mutating func take(
    _ rest: ArraySlice<String>, isFromFile: Bool, read: ConfigReader
  ) throws(Problem) -> Int {
    guard let first = rest.first else { return 0 }
    let (name, attached) = Self.split(first)
    let value = attached ?? rest.dropFirst().first
    let count = attached == nil ? 2 : 1
    if let flag = Self.withoutNo(name), Self.ignoredFlags.contains(flag) { return 1 }
    if Self.ignoredFlags.contains(name) { return 1 }
    if Self.ignoredValues.contains(name) { return count }
    if let advice = Self.refused[name] {
      throw Problem(
        message: "\(name) is not something that a pre-dump by Sluice does: \(advice)", isRefusal: true)
    }
    switch name {
    case "--config":
      guard let value, let text = read(value) else {
        throw Problem(message: "the configuration file \(value ?? "") cannot be read")
      }
      let options = Self.options(in: text)
      var index = 0
      while index < options.count {
        index += try take(options[index...], isFromFile: true, read: read)
      }
      return count
    case "--pre-dump-mode":
      // Both mean to read the memory; Sluice knows but one way.
      guard let value, ["read", "splice"].contains(value) else {
        throw Problem(message: "--pre-dump-mode takes read or splice")
      }
      return count
    case "--freeze-cgroup":
      if let value, !freezes(value) { return count }
    case "--pidfile":
      arguments += ["--pid-file"] + (value.map { [$0] } ?? [])
      return count
    default: break
    }
    if let level = Self.verbosity(name) {
      arguments += Array(repeating: "-v", count: max(0, level - 2))
      return 1
    }
    // What a file holds may be meant for other verbs, and other versions.
    if isFromFile && !Self.isKnownInFiles(name) {
      return attached == nil && value?.hasPrefix("-") == false ? 2 : 1
    }
    arguments.append(first)
    return 1
  }

  private static func isKnownInFiles(_ name: String) -> Bool {
    !name.hasPrefix("-")
      || [
        "--tree", "--images-dir", "--work-dir", "--prev-images-dir", "--log-file", "--timeout",
        "--freeze-cgroup",
        "--auto-dedup", "--display-stats",
      ].contains(name)
  }

  private static func split(_ argument: String) -> (name: String, value: String?) {
    guard argument.hasPrefix("--"), let sign = argument.firstIndex(of: "=") else { return (argument, nil) }
    return (String(argument[..<sign]), String(argument[argument.index(after: sign)...]))
  }

  /// Every flag of CRIU's has a form that takes it back.
  private static func withoutNo(_ name: String) -> String? {
    name.hasPrefix("--no-") ? "--" + name.dropFirst("--no-".count) : nil
  }

  /// The level in -v4 or -v0: 2 are warnings, which is what is shown anyway.
  private static func verbosity(_ name: String) -> Int? {
    guard name.hasPrefix("-v"), name.count > 2 else { return nil }
    return Int(name.dropFirst(2))
  }

  /// The options in a configuration file: one a line, without dashes; "#" begins a comment.
  static func options(in text: String) -> [String] {
    text.split(separator: "\n").flatMap { line -> [String] in
      let words = line.prefix(while: { $0 != "#" })
        .split(maxSplits: 1, whereSeparator: { $0 == " " || $0 == "\t" || $0 == "=" })
      guard let name = words.first else { return [] }
      let value = words.dropFirst().first.map { $0.filter { $0 != "\"" } }?
        .split(whereSeparator: { $0 == " " || $0 == "\t" }).joined(separator: " ")
      return ["--\(name)"] + (value.map { [$0] } ?? [])
    }
  }
}
