/// An option of criu(8), and what becomes of it in a pre-dump by Sluice.
struct CriuOption: Sendable {
  /// Whether a value follows the name.
  enum Value: Sendable {
    case none
    /// Only one that is attached: `--name=value`, `-nvalue`.
    case optional
    case required
  }

  /// What a pre-dump does with it.
  enum Treatment: Sendable {
    /// Sluice does it.
    case done(Meaning)
    /// It is left out.
    case leftOut(Reason)
    /// Only CRIU can do it; the text says what may be done instead by one who calls Sluice by its own name.
    case handedOn(String)
  }

  /// What is done.
  enum Meaning: Sendable {
    case process
    case imagesDirectory
    case workDirectory
    case parent
    case logFile
    case verbosity
    case dedup
    case frozenCgroup
    case stopTimeout
    case leftStopped
    case preDumpMode
    /// Pages go to a page server.
    case pageServer
    /// Where that is, or how it is spoken to. Without one it means nothing.
    case ofPageServer
    /// A configuration file, or that none is to be read: seen to before the options are.
    case configuration
    /// Help, or the version, of whoever is called.
    case aboutTheProgram
  }

  /// Why it is left out.
  enum Reason: String, Sendable {
    case always = "a pre-dump by Sluice does that anyway"
    case never = "CRIU's own pre-dump ignores it, too"
    case dump = "it concerns the final dump"
    case restore = "it concerns the restore"
    case check = "it concerns CRIU's check"
    case server = "it concerns page servers and services"
    case memoryAlone = "it concerns things that a pre-dump of memory does not touch"
  }

  /// Without dashes.
  let name: String
  /// A letter that stands for it.
  let letter: Character?
  let value: Value
  /// Whether there is `--no-NAME`, which takes it back.
  let hasNo: Bool
  let treatment: Treatment

  private init(
    _ name: String, _ treatment: Treatment, letter: Character? = nil, value: Value = .none,
    hasNo: Bool = false
  ) {
    self.name = name
    self.letter = letter
    self.value = value
    self.hasNo = hasNo
    self.treatment = treatment
  }

  /// Those of versions 3.17.1 and 4.2, also those that their help does not name.
  static let all: [CriuOption] = [
    // What is copied, and where to.
    CriuOption("tree", .done(.process), letter: "t", value: .required),
    CriuOption("images-dir", .done(.imagesDirectory), letter: "D", value: .required),
    CriuOption("work-dir", .done(.workDirectory), letter: "W", value: .required),
    CriuOption("prev-images-dir", .done(.parent), value: .required),
    CriuOption("track-mem", .leftOut(.always), hasNo: true),
    CriuOption("auto-dedup", .done(.dedup), hasNo: true),
    CriuOption("pre-dump-mode", .done(.preDumpMode), value: .required),
    CriuOption("stream", .handedOn("write into a directory"), hasNo: true),
    CriuOption("lazy-pages", .handedOn("leave it out: it concerns the final dump")),
    // How the processes are stopped.
    CriuOption("freeze-cgroup", .done(.frozenCgroup), value: .required),
    CriuOption("timeout", .done(.stopTimeout), value: .required),
    CriuOption("leave-running", .leftOut(.always), letter: "R"),
    CriuOption("leave-stopped", .done(.leftStopped), letter: "s"),
    CriuOption("unprivileged", .leftOut(.always), hasNo: true),
    CriuOption("allow-uprobes", .leftOut(.always), hasNo: true),
    // What is told.
    CriuOption("log-file", .done(.logFile), letter: "o", value: .required),
    CriuOption("verbosity", .done(.verbosity), letter: "v", value: .optional),
    CriuOption("display-stats", .leftOut(.always), hasNo: true),
    CriuOption("log-pid", .leftOut(.restore), hasNo: true),
    CriuOption("pidfile", .leftOut(.never), value: .required),
    CriuOption("config", .done(.configuration), value: .required),
    CriuOption("no-default-config", .done(.configuration)),
    CriuOption("help", .done(.aboutTheProgram), letter: "h"),
    CriuOption("version", .done(.aboutTheProgram), letter: "V"),
    // Pages that go elsewhere.
    CriuOption("page-server", .done(.pageServer), hasNo: true),
    CriuOption("address", .done(.ofPageServer), value: .required),
    CriuOption("port", .done(.ofPageServer), value: .required),
    CriuOption("ps-socket", .done(.ofPageServer), value: .required),
    CriuOption("status-fd", .leftOut(.server), value: .required),
    CriuOption("daemon", .leftOut(.server), letter: "d", hasNo: true),
    CriuOption("tls", .done(.ofPageServer), hasNo: true),
    CriuOption("tls-cacert", .done(.ofPageServer), value: .required),
    CriuOption("tls-cacrl", .done(.ofPageServer), value: .required),
    CriuOption("tls-cert", .done(.ofPageServer), value: .required),
    CriuOption("tls-key", .done(.ofPageServer), value: .required),
    CriuOption("tls-no-cn-verify", .done(.ofPageServer)),
    // Files, sockets, namespaces, cgroups.
    CriuOption("action-script", .leftOut(.memoryAlone), value: .required),
    CriuOption("cgroup-dump-controller", .leftOut(.memoryAlone), value: .required),
    CriuOption("cgroup-props", .leftOut(.memoryAlone), value: .required),
    CriuOption("cgroup-props-file", .leftOut(.memoryAlone), value: .required),
    CriuOption("cgroup-root", .leftOut(.memoryAlone), value: .required),
    CriuOption("cgroup-yard", .leftOut(.memoryAlone), value: .required),
    CriuOption("close", .leftOut(.memoryAlone), value: .required),
    CriuOption("cpu-cap", .leftOut(.dump), value: .optional),
    CriuOption("deprecated", .leftOut(.dump), hasNo: true),
    CriuOption("empty-ns", .leftOut(.memoryAlone), value: .required),
    CriuOption("enable-external-masters", .leftOut(.memoryAlone)),
    CriuOption("enable-external-sharing", .leftOut(.memoryAlone)),
    CriuOption("enable-fs", .leftOut(.memoryAlone), value: .required),
    CriuOption("evasive-devices", .leftOut(.memoryAlone), hasNo: true),
    CriuOption("ext-mount-map", .leftOut(.memoryAlone), letter: "M", value: .required),
    CriuOption("ext-unix-sk", .leftOut(.memoryAlone), letter: "x", value: .optional),
    CriuOption("external", .leftOut(.memoryAlone), value: .required),
    CriuOption("file-locks", .leftOut(.memoryAlone), letter: "l", hasNo: true),
    CriuOption("file-validation", .leftOut(.memoryAlone), value: .required),
    CriuOption("force-irmap", .leftOut(.memoryAlone), hasNo: true),
    CriuOption("ghost-fiemap", .leftOut(.memoryAlone), hasNo: true),
    CriuOption("ghost-limit", .leftOut(.memoryAlone), value: .required),
    CriuOption("irmap-scan-path", .leftOut(.memoryAlone), value: .required),
    CriuOption("libdir", .leftOut(.memoryAlone), letter: "L", value: .required),
    CriuOption("link-remap", .leftOut(.memoryAlone), hasNo: true),
    CriuOption("manage-cgroups", .leftOut(.memoryAlone), value: .optional),
    CriuOption("mntns-compat-mode", .leftOut(.memoryAlone), hasNo: true),
    CriuOption("network-lock", .leftOut(.memoryAlone), value: .required),
    CriuOption("shell-job", .leftOut(.memoryAlone), letter: "j", hasNo: true),
    CriuOption("skip-in-flight", .leftOut(.memoryAlone), hasNo: true),
    CriuOption("skip-mnt", .leftOut(.memoryAlone), value: .required),
    CriuOption("tcp-close", .leftOut(.memoryAlone), hasNo: true),
    CriuOption("tcp-established", .leftOut(.memoryAlone), hasNo: true),
    CriuOption("weak-sysctls", .leftOut(.memoryAlone), hasNo: true),
    // Restores.
    CriuOption("exec-cmd", .handedOn("leave it out: it concerns the restore")),
    CriuOption("inherit-fd", .leftOut(.restore), value: .required),
    CriuOption("join-ns", .leftOut(.restore), letter: "J", value: .required),
    CriuOption("lsm-mount-context", .leftOut(.restore), value: .required),
    CriuOption("lsm-profile", .leftOut(.restore), value: .required),
    CriuOption("restore-detached", .leftOut(.restore), hasNo: true),
    CriuOption(
      "restore-sibling", .handedOn("leave it out: it concerns the restore"), letter: "S", hasNo: true),
    CriuOption("root", .leftOut(.restore), letter: "r", value: .required),
    CriuOption("skip-file-rwx-check", .leftOut(.restore), hasNo: true),
    CriuOption("veth-pair", .leftOut(.restore), value: .required),
    // Checks.
    CriuOption("all", .leftOut(.check)),
    CriuOption("experimental", .leftOut(.check), hasNo: true),
    CriuOption("extra", .leftOut(.check), hasNo: true),
    CriuOption("feature", .leftOut(.check), value: .required),
    CriuOption("ms", .leftOut(.check)),
  ]

  /// Every long name, and what it stands for.
  private static let names: [String: (option: CriuOption, isTakenBack: Bool)] = all.reduce(into: [:]) {
    names, option in
    names[option.name] = (option, false)
    if option.hasNo { names["no-\(option.name)"] = (option, true) }
  }

  private static let letters: [Character: CriuOption] = all.reduce(into: [:]) { letters, option in
    if let letter = option.letter { letters[letter] = option }
  }

  /// The option of this long name.
  ///
  /// - Parameter abbreviated: whether the beginning of a name will do, as getopt_long(3) has it, where no other begins
  ///   with that.
  static func named(_ name: String, abbreviated: Bool) -> (option: CriuOption, isTakenBack: Bool)? {
    if let exact = names[name] { return exact }
    guard abbreviated, !name.isEmpty else { return nil }
    let candidates = names.filter { $0.key.hasPrefix(name) }
    return candidates.count == 1 ? candidates.first?.value : nil
  }

  /// The option that this letter stands for.
  static func letter(_ letter: Character) -> CriuOption? { letters[letter] }
}
