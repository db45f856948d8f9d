internal import CSluiceLinux

/// Takes note of writes to the files of cgroups, by which somebody else may let their processes run.
///
/// cgroup.events alone does not tell: the kernel announces its changes once in 10 ms at most
/// (CGROUP_FILE_NOTIFY_MIN_INTV), and who thaws and freezes again within these leaves it as it was.
struct CgroupWriteMonitor: ~Copyable {
  /// Nil where the user has as many as are allowed (fs.inotify), or the kernel has no inotify.
  private let file: ProcFile?
  /// Whether there was something that could not be monitored.
  private var isBlind: Bool

  init() {
    let opened = sluice_cgroup_monitor_start()
    file = opened >= 0 ? ProcFile(adopting: opened) : nil
    isBlind = opened < 0
  }

  /// From now on also of those to the files of this cgroup, which is open.
  mutating func add(_ directory: Int32) {
    switch file {
    case .some(let file): if sluice_cgroup_monitor_add(file.descriptor, directory) != 0 { isBlind = true }
    case .none: break
    }
  }

  /// Forgets those until now, our own among them.
  func forget() { _ = sawWrites() }

  /// Whether there may have been any since this was asked last.
  func sawWrites() -> Bool {
    switch file {
    case .some(let file): sluice_cgroup_monitor_saw(file.descriptor) != 0 || isBlind
    case .none: true
    }
  }
}
