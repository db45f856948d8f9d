internal import CSluiceLinux
internal import SluiceImages
internal import SluicePipeline
internal import SluiceTarget

/// The core files of a run, one for each process.
final class CoreFiles: Sendable {
  private struct State: Sendable {
    var files: [PageOwner: CoreFile] = [:]
    /// The paths that are to be given, so that no two processes have the same.
    var paths: Set<String> = []
    var discarded: Set<PageOwner> = []
  }

  private let name: CoreName
  private let replaces: Bool
  private let direct: Bool
  private let isExact: Bool
  private let state = Locked(State())
  private let names: Locked<[PageOwner: String]>
  /// How the files want their chunks.
  let limits: SinkLimits
  /// Whether they are written past the page cache.
  let isDirect: Bool

  /// Makes the file of the first process, so that it is known what files can do there before anything is done to anybody.
  ///
  /// - Throws: `SluiceError` with `cannotCreate`.
  init(
    _ name: CoreName, first: TargetProcess, replacing replaces: Bool, direct: Bool, isExact: Bool
  ) throws(SluiceError) {
    self.name = name
    self.replaces = replaces
    self.direct = direct
    self.isExact = isExact
    let owner = PageOwner.process(ProcessIdentity(first))
    names = Locked([owner: first.command])
    let path = name.path(pid: first.pid, command: first.command)
    let file = try CoreFile(
      at: path, replacing: replaces, direct: direct, isExact: isExact, pageSize: UInt64(sluice_page_size()))
    var limits = SinkLimits()
    limits.isMemory = file.output.isInMemory
    self.limits = limits
    isDirect = file.output.isDirect
    state.withLock {
      $0.files[owner] = file
      $0.paths = [path]
    }
  }

  /// Says what processes are called that may come.
  func learn(_ processes: [DumpedProcess]) {
    names.withLock { names in
      for dumped in processes { names[dumped.owner] = dumped.process.command }
    }
  }

  /// The file of a process; nil where there is none yet.
  func known(_ owner: PageOwner) -> CoreFile? { state.withLock { $0.files[owner] } }

  /// The file of a process, which is made where there is none; nil for one whose file was given up.
  ///
  /// - Throws: `SluiceError` with `cannotCreate`.
  func file(of owner: PageOwner) throws(SluiceError) -> CoreFile? {
    let (known, isDiscarded) = state.withLock { ($0.files[owner], $0.discarded.contains(owner)) }
    if known != nil || isDiscarded { return known }
    guard let process = owner.process else { return nil }
    let path = name.path(pid: process.pid, command: names.withLock { $0[owner] } ?? "")
    let isNew = state.withLock { $0.paths.insert(path).inserted }
    guard isNew else {
      throw SluiceError(
        .invalidArgument,
        "process \(process.pid) and another one would have the same core file, \(path): put {pid} into its name"
      )
    }
    let file = try CoreFile(
      at: path, replacing: replaces, direct: direct, isExact: isExact, pageSize: UInt64(sluice_page_size()))
    state.withLock { $0.files[owner] = file }
    return file
  }

  /// Gives the file of a process up.
  func discard(_ owner: PageOwner) {
    state.withLock {
      $0.files[owner] = nil
      $0.discarded.insert(owner)
    }
  }
}

/// The name of core files, in which {pid} and {name} stand for those of the process.
struct CoreName: Hashable, Sendable {
  let template: String

  /// Whether each process has a name of its own.
  var tellsProcessesApart: Bool {
    template.split(separator: "{pid}", omittingEmptySubsequences: false).count > 1
  }

  func path(pid: Int32, command: String) -> String {
    // A process may be called what no file can be.
    let name = String(command.map { $0 == "/" || $0 == "\0" ? "_" : $0 })
    return replace("{name}", by: name.isEmpty ? "_" : name, in: replace("{pid}", by: "\(pid)", in: template))
  }

  private func replace(_ word: String, by other: String, in text: String) -> String {
    text.split(separator: word, omittingEmptySubsequences: false).joined(separator: other)
  }
}
