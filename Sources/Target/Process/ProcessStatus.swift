/// What /proc/PID/stat and /proc/PID/status say of a process: proc_pid_stat(5), proc_pid_status(5).
struct ProcessStatus: Hashable, Sendable {
  /// R running, S sleeping, T stopped, Z zombie, and so on.
  var state: Character
  /// The process that it is a child of.
  var parentPid: Int32
  /// When it started, in clock ticks since boot.
  var startTime: UInt64
  /// Where its stack began when it executed its program; every execve chooses another place, as a rule. 0 where it has
  /// no memory.
  var stackStart: UInt64
  var isKernelThread: Bool
  /// Whether it ends at this moment: its memory goes first, and only then it is a zombie.
  var isExiting: Bool
  /// The command's name, as the kernel keeps it (15 bytes).
  var command: String
  /// The process that the number is a thread of; the number itself if it leads its process.
  var threadGroup: Int32
  /// The pid in the innermost pid namespace that the process is in: what getpid() returns there.
  var namespacePid: Int32

  /// PF_KTHREAD of the kernel's include/linux/sched.h, stable since 2.6.
  private static let kernelThreadFlag: UInt64 = 0x0020_0000
  /// PF_EXITING, likewise.
  private static let exitingFlag: UInt64 = 0x0000_0004

  /// Whether its main thread has ended or does so. While others run, the process goes on, but its pid leads to no
  /// memory any more.
  var hasEnded: Bool { isExiting || state == "Z" || state == "X" }

  /// - Returns: nil when the texts are not what the manual pages describe.
  init?(stat: String, status: String) {
    // The name is in parentheses and may itself hold spaces and parentheses: the last one ends it.
    guard let nameStart = stat.firstIndex(of: "("), let nameEnd = stat.lastIndex(of: ")"),
      nameStart < nameEnd
    else { return nil }
    command = String(stat[stat.index(after: nameStart)..<nameEnd])
    // What follows the name begins with field 3.
    let fields = stat[stat.index(after: nameEnd)...].split(separator: " ")
    guard fields.count > 25, let state = fields[0].first, let parentPid = Int32(fields[1]),
      let flags = UInt64(fields[6]), let startTime = UInt64(fields[19]), let stackStart = UInt64(fields[25])
    else { return nil }
    self.state = state
    self.parentPid = parentPid
    self.startTime = startTime
    self.stackStart = stackStart
    isKernelThread = flags & Self.kernelThreadFlag != 0
    isExiting = flags & Self.exitingFlag != 0

    let lines = StatusLines(status)
    guard let threadGroup = lines.number("Tgid").flatMap({ Int32(exactly: $0) }) else { return nil }
    self.threadGroup = threadGroup
    // A kernel without pid namespaces has no such line, and then there is but one pid.
    namespacePid = lines.namespacePids.last ?? threadGroup
  }
}
