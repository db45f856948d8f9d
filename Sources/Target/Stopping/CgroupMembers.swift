internal import CSluiceLinux
import Glibc
internal import SluiceSystem

/// Who is in a cgroup, or in one below it, as the kernel lists it: Documentation/admin-guide/cgroup-v2.rst, "cgroup.procs"
/// and "cgroup.threads".
///
/// The lists are read through the open directory. So nothing depends on where cgroups are mounted, nor on the cgroup
/// namespace that we are in; the pids are those that we see.
struct CgroupMembers {
  /// The processes. In a threaded cgroup, those that have a thread in it.
  private(set) var processes: Set<Int32> = []
  /// In a threaded cgroup the threads, which may not be all of their processes; nil in others.
  private var threads: Set<Int32>?
  /// How many more there are that have no pid in our namespace.
  private(set) var unseenCount = 0

  /// - Parameters:
  ///   - directory: that of the cgroup, open.
  ///   - path: what it is called in messages.
  ///   - visit: is given each cgroup, open, before it is listed.
  /// - Throws: `TargetError` when it was removed, or the kernel does not tell.
  init(
    of directory: Int32, path: String, visit: (Int32) -> Void = { _ in }
  ) throws(TargetError) {
    do throws(ProcFile.OpenFailed) {
      visit(directory)
      if let listed = try Self.ids("cgroup.procs", in: directory) {
        take(listed)
        try descend(from: directory, taking: "cgroup.procs", visit)
      } else {
        threads = []
        take(try Self.ids("cgroup.threads", in: directory) ?? [])
        try descend(from: directory, taking: "cgroup.threads", visit)
      }
    } catch {
      throw TargetError(.systemCall, "listing the processes of the cgroup \(path)", errno: error.errno)
    }
  }

  /// Whether all of a process is in it.
  ///
  /// - Throws: `TargetError` when the threads of the process cannot be listed.
  func holds(_ process: TargetProcess) throws(TargetError) -> Bool {
    guard processes.contains(process.pid) else { return false }
    guard let threads else { return true }
    return try ThreadList(of: process).all().allSatisfy(threads.contains)
  }

  private mutating func take(_ ids: [Int32]) {
    // Those of other pid namespaces are listed as 0.
    unseenCount += ids.count { $0 == 0 }
    let seen = ids.filter { $0 != 0 }
    guard threads != nil else {
      processes.formUnion(seen)
      return
    }
    threads?.formUnion(seen)
    // One that has ended since is a member no more.
    processes.formUnion(seen.compactMap(Self.process(ofThread:)))
  }

  private static func process(ofThread thread: Int32) -> Int32? {
    (try? StatusLines(ofProcessAt: "/proc/\(thread)"))?.number("Tgid").map(Int32.init)
  }

  /// Takes those of the cgroups below, as deep as they go.
  private mutating func descend(
    from directory: Int32, taking file: String, _ visit: (Int32) -> Void
  ) throws(ProcFile.OpenFailed) {
    for name in try Self.children(of: directory) {
      let opened = unsafe sluice_open_at(directory, name, SLUICE_OPEN_DIRECTORY)
      // It was removed meanwhile, so there was nobody in it.
      if opened == -ENOENT || opened == -ENODEV { continue }
      guard opened >= 0 else { throw ProcFile.OpenFailed(errno: SystemErrno(returned: opened)) }
      let child = ProcFile(adopting: opened)
      visit(child.descriptor)
      // The processes of one that is threaded are listed by the domain that it belongs to.
      take(try Self.ids(file, in: child.descriptor) ?? [])
      try descend(from: child.descriptor, taking: file, visit)
    }
  }

  private static func children(of directory: Int32) throws(ProcFile.OpenFailed) -> [String] {
    var names: [String] = []
    let result = unsafe withUnsafeMutablePointer(to: &names) { pointer in
      unsafe sluice_list_cgroups(directory, pointer) { context, name in
        guard let context = unsafe context, let name = unsafe name else { return }
        unsafe context.assumingMemoryBound(to: [String].self).pointee.append(String(cString: name))
      }
    }
    guard result == 0 || result == -ENOENT || result == -ENODEV else {
      throw ProcFile.OpenFailed(errno: SystemErrno(returned: result))
    }
    return names
  }

  /// - Returns: nil where the kernel lists no processes, since the cgroup is a threaded one (EOPNOTSUPP).
  private static func ids(
    _ name: String, in directory: Int32
  ) throws(ProcFile.OpenFailed) -> [Int32]? {
    let opened = unsafe sluice_open_at(directory, name, SLUICE_OPEN_READ)
    if opened == -ENOENT || opened == -ENODEV { return [] }
    guard opened >= 0 else { throw ProcFile.OpenFailed(errno: SystemErrno(returned: opened)) }
    do throws(ProcFile.OpenFailed) {
      return try ProcFile(adopting: opened).text().split(separator: "\n").compactMap { Int32($0) }
    } catch {
      switch error.errno.code {
      case EOPNOTSUPP: return nil
      case ENODEV: return []
      default: throw error
      }
    }
  }
}
