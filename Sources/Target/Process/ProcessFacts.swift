internal import CSluiceLinux
import Glibc
internal import SluiceSystem

/// What /proc tells of a process that a core has beside its memory and its registers.
public struct ProcessFacts: Sendable, Hashable {
  /// How long something has run, in microseconds.
  public struct Times: Sendable, Hashable {
    /// In the program.
    public var user: UInt64 = 0
    /// In the kernel.
    public var system: UInt64 = 0
  }

  /// R running, S sleeping, and so on.
  public private(set) var state: UInt8 = 0
  /// The process that it is a child of, its process group and its session, as we see them.
  public private(set) var parentPid: Int32 = 0
  /// Its process group.
  public private(set) var group: Int32 = 0
  /// Its session.
  public private(set) var session: Int32 = 0
  /// The kernel's flags.
  public private(set) var flags: UInt64 = 0
  /// How nice it is.
  public private(set) var nice: Int8 = 0
  /// Of all its threads.
  public private(set) var times = Times()
  /// Of its children that have ended.
  public private(set) var childTimes = Times()
  /// Who runs it.
  public private(set) var user: UInt32 = 0
  /// In which group that is.
  public private(set) var userGroup: UInt32 = 0
  /// Whether it is in a pid namespace of its own, or one around which there are others that we see.
  public private(set) var isNamespaced = false
  /// The program's name, as the kernel keeps it.
  public private(set) var command: [UInt8] = []
  /// The words that it was called with, one space between two.
  public private(set) var arguments: [UInt8] = []
  /// What the kernel has told it when it began.
  public private(set) var auxiliaryVector: [UInt8] = []

  /// Reads them.
  ///
  /// - Throws: `TargetError` when the process is gone, or may not be read.
  public init(of process: TargetProcess) throws(TargetError) {
    let directory = "/proc/\(process.pid)"
    do throws(ProcFile.OpenFailed) {
      let stat = try ProcFile.text(ofFileAt: "\(directory)/stat")
      take(stat: stat)
      let status = try StatusLines(ofProcessAt: directory)
      // The real ones come first.
      user = status.words("Uid")?.first.flatMap { UInt32($0) } ?? 0
      userGroup = status.words("Gid")?.first.flatMap { UInt32($0) } ?? 0
      isNamespaced = status.namespacePids.count > 1
      auxiliaryVector = try ProcFile(path: "\(directory)/auxv").bytes(atMost: 64 << 10)
      arguments = try ProcFile(path: "\(directory)/cmdline").bytes(atMost: 4096)
    } catch {
      throw process.failure(of: "reading /proc", errno: error.errno)
    }
    command = Array(process.command.utf8)
    while arguments.last == 0 { arguments.removeLast() }
    arguments = arguments.map { $0 == 0 ? UInt8(ascii: " ") : $0 }
  }

  /// The ids that a process and its threads have in its own pid namespace, and those that go with them.
  public struct Inside: Sendable, Hashable {
    /// The ids of threads there, by those that we see.
    public fileprivate(set) var threads: [Int32: Int32] = [:]
    /// Its process group there; 0 where that has none.
    public fileprivate(set) var group: Int32 = 0
    /// Its session there; 0 where that has none.
    public fileprivate(set) var session: Int32 = 0
    /// The pid of its parent there; 0 where that is outside.
    public fileprivate(set) var parent: Int32 = 0
  }

  /// What the process and its threads are called in its own pid namespace.
  ///
  /// - Throws: `TargetError` when the process is gone.
  public static func inside(
    _ process: TargetProcess, threads: [Int32], parent: Int32
  ) throws(TargetError) -> Inside {
    var inside = Inside()
    for thread in threads {
      do throws(ProcFile.OpenFailed) {
        let status = try StatusLines(ofProcessAt: "/proc/\(process.pid)/task/\(thread)")
        inside.threads[thread] = status.namespacePids.last ?? thread
        guard thread == process.pid else { continue }
        inside.group = status.words("NSpgid")?.last.flatMap { Int32($0) } ?? 0
        inside.session = status.words("NSsid")?.last.flatMap { Int32($0) } ?? 0
        let depth = status.namespacePids.count
        // Who is not in the namespace has no pid there. That a parent is gone is nothing to fail for.
        if let other = try? StatusLines(ofProcessAt: "/proc/\(parent)"), other.namespacePids.count >= depth {
          inside.parent = depth > 0 ? other.namespacePids[depth - 1] : parent
        }
      } catch {
        // One that has ended since has its registers all the same.
        guard error.errno.code == ENOENT || error.errno.code == ESRCH else {
          throw process.failure(of: "reading /proc", errno: error.errno)
        }
      }
    }
    return inside
  }

  /// How long a thread has run; nothing where it has ended.
  public static func times(of thread: Int32, in process: TargetProcess) -> Times {
    guard let stat = try? ProcFile.text(ofFileAt: "/proc/\(process.pid)/task/\(thread)/stat"),
      let end = stat.lastIndex(of: ")")
    else { return Times() }
    let fields = stat[stat.index(after: end)...].split(separator: " ")
    return Times(fields, from: 11)
  }

  /// What follows the name in /proc/PID/stat begins with field 3: proc_pid_stat(5).
  private mutating func take(stat: String) {
    guard let end = stat.lastIndex(of: ")") else { return }
    let fields = stat[stat.index(after: end)...].split(separator: " ")
    guard fields.count > 16 else { return }
    state = fields[0].utf8.first ?? 0
    parentPid = Int32(fields[1]) ?? 0
    group = Int32(fields[2]) ?? 0
    session = Int32(fields[3]) ?? 0
    flags = UInt64(fields[6]) ?? 0
    times = Times(fields, from: 11)
    childTimes = Times(fields, from: 13)
    nice = Int8(fields[16]) ?? 0
  }
}

extension ProcessFacts.Times {
  /// Two fields of clock ticks.
  fileprivate init(_ fields: [Substring], from index: Int) {
    guard fields.count > index + 1 else { return }
    let microseconds = 1_000_000 / max(1, Uptime.ticksPerSecond)
    user = (UInt64(fields[index]) ?? 0) * microseconds
    system = (UInt64(fields[index + 1]) ?? 0) * microseconds
  }
}
