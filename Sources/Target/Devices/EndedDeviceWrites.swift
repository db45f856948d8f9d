internal import CSluiceLinux
internal import SluiceSystem

/// Finds out, of processes that run, whether all writes of devices into their memory have ended that were begun before
/// this value was made.
///
/// Such a write is asked for in a system call that is given memory (a read with O_DIRECT), and its thread is in that call
/// until it has ended; or by what outlasts the call: an io_uring, a context of libaio, the file of a device. Where a
/// process has none of these, and each of its threads was seen in a call that is given no memory for a device, nothing
/// that was begun before is left. What a thread begins later makes the pages dirty anew, as the protection tells.
public struct EndedDeviceWrites: Sendable {
  /// What is known.
  public enum Verdict: Hashable, Sendable {
    /// They have ended.
    case haveEnded
    /// Some threads were not seen in such a call yet: a later look may tell.
    case notYetKnown
    /// No look will tell.
    case cannotBeKnown
  }

  /// A process some of whose threads are still to be seen.
  private struct Subject: Sendable {
    let list: ThreadList
    /// The threads that were seen where they need not be waited for.
    var settled: Set<Int32> = []
    var isSettled = false
  }

  /// To look at a thread takes some 10 µs: at more, that is no better than to wait.
  static let mostThreads = 4096
  /// To look at a process takes some 0.2 ms, more where it has many mappings or descriptors: likewise.
  static let mostProcesses = 64

  private var subjects: [Subject] = []
  private var isHopeless = false

  /// - Parameter tree: the processes, with those that share their memory.
  /// - Throws: `TargetError` when the kernel does not tell.
  public init(in tree: ProcessTree) throws(TargetError) {
    // Those that share the memory and are not held by us begin writes, too.
    guard tree.outsiders.isEmpty, tree.unclear.isEmpty, tree.members.count <= Self.mostProcesses else {
      isHopeless = true
      return
    }
    for process in tree.members {
      do throws(TargetError) {
        if try Self.mayHaveAsked(process) {
          isHopeless = true
          return
        }
        subjects.append(Subject(list: try ThreadList(of: process)))
      } catch {
        // Nothing writes into the memory of one that has ended, but for those that share it.
        guard error.code == .gone else { throw error }
      }
    }
  }

  /// Looks at the threads that are still to be seen.
  ///
  /// - Throws: `TargetError` when the kernel does not tell.
  public mutating func look() throws(TargetError) -> Verdict {
    for index in subjects.indices where !isHopeless && !subjects[index].isSettled {
      do throws(TargetError) {
        try look(at: index)
      } catch {
        guard error.code == .gone else { throw error }
        subjects[index].isSettled = true
      }
    }
    if isHopeless { return .cannotBeKnown }
    return subjects.allSatisfy(\.isSettled) ? .haveEnded : .notYetKnown
  }

  private mutating func look(at index: Int) throws(TargetError) {
    let list = subjects[index].list
    let ids = try list.all()
    guard ids.count <= Self.mostThreads else {
      isHopeless = true
      return
    }
    for id in ids where !subjects[index].settled.contains(id) {
      switch try Self.call(of: id, in: list) {
      case .harmless: subjects[index].settled.insert(id)
      case .other: break
      // A worker of io_uring or vhost does what others have asked for.
      case .ofWorker:
        isHopeless = true
        return
      }
    }
    // A list may miss a thread behind one that ends while it is read: so they are counted, too.
    let count = try list.count()
    subjects[index].isSettled = count == ids.count && subjects[index].settled.isSuperset(of: ids)
  }

  private enum Call {
    case harmless
    case other
    case ofWorker
  }

  private static func call(of thread: Int32, in list: ThreadList) throws(TargetError) -> Call {
    switch try list.isWorker(thread) {
    case nil: return .harmless
    case true?: return .ofWorker
    case false?: break
    }
    switch try ThreadCall.look(at: thread, of: list.process) {
    case .waits(let call): return sluice_call_takes_no_memory(call.number) ? .harmless : .other
    case .isInNone: return .other
    case .isUntold: return try list.stateOfEnded(thread) == nil ? .other : .harmless
    }
  }

  /// What is mapped by names below /dev and belongs to no device: shared memory, that of all names or none.
  private static let memoryBelowDev = ["/dev/shm/", "/dev/zero", "/dev/null", "/dev/hugepages"]

  /// Whether a process may have asked devices for writes in a way that outlasts the call in which it did.
  private static func mayHaveAsked(_ process: TargetProcess) throws(TargetError) -> Bool {
    let found = sluice_has_device_files(process.pid)
    guard found >= 0 else {
      throw process.failure(of: "listing /proc/\(process.pid)/fd", errno: SystemErrno(returned: found))
    }
    if found == 1 { return true }
    do throws(ProcFile.OpenFailed) {
      // Pinned for long, as for RDMA.
      if try StatusLines(ofProcessAt: "/proc/\(process.pid)").bytes("VmPin") > 0 { return true }
    } catch {
      throw process.failure(of: "reading /proc/\(process.pid)/status", errno: error.errno)
    }
    var map = MemoryMap(of: process)
    while let vma = try map.next() {
      // The rings stay mapped where the process has no descriptor of them any more.
      if vma.name.hasPrefix("/[aio]") || vma.name.hasPrefix("anon_inode:[io_uring]") { return true }
      // So does the memory of a device whose file is closed, and what it was told by then goes on.
      if vma.name.hasPrefix("/dev/"), !memoryBelowDev.contains(where: { vma.name.hasPrefix($0) }) {
        return true
      }
    }
    return false
  }
}
