/// What a core says of a process beside its memory.
public struct CoreProcess: Sendable, Hashable {
  /// A thread, as it stood.
  public struct Thread: Sendable, Hashable {
    /// Its id.
    public var id: Int32
    /// The general registers, as the kernel gives them (NT_PRSTATUS).
    public var registers: [UInt8]
    /// The other sets of registers, in the order in which the kernel writes them.
    public var sets: [RegisterSet] = []
    /// The signals that wait for it alone, as bits.
    public var pendingSignals: UInt64 = 0
    /// The signals that it has blocked, as bits.
    public var blockedSignals: UInt64 = 0
    /// The signal that it was about to get; 0 for none.
    public var signal: Int32 = 0
    /// What the kernel knows of that signal (siginfo_t, 128 bytes); empty where there is none.
    public var signalInfo: [UInt8] = []
    /// The time that it has computed, in microseconds.
    public var userMicroseconds: UInt64 = 0
    /// The time that it has spent in the kernel, in microseconds.
    public var systemMicroseconds: UInt64 = 0

    /// A thread with its general registers, and nothing else that is known.
    public init(id: Int32, registers: [UInt8]) {
      self.id = id
      self.registers = registers
    }
  }

  /// A set of registers of a thread.
  public struct RegisterSet: Sendable, Hashable {
    /// The type of its note, which is also the number that ptrace(2) knows it by.
    public var type: UInt32
    /// Its bytes, as the kernel gives them.
    public var bytes: [UInt8]

    /// A set by the type of its note.
    public init(type: UInt32, bytes: [UInt8]) {
      self.type = type
      self.bytes = bytes
    }

    /// The registers for floating-point numbers (NT_PRFPREG).
    public static let floatingPoint: UInt32 = 2
  }

  /// A file that is mapped: a line of the note NT_FILE.
  public struct MappedFile: Sendable, Hashable {
    /// The addresses.
    public var range: Range<UInt64>
    /// Where in the file the mapping begins, in pages.
    public var pageOffset: UInt64
    /// The file's path.
    public var path: [UInt8]

    /// A mapping of a file.
    public init(range: Range<UInt64>, pageOffset: UInt64, path: [UInt8]) {
      self.range = range
      self.pageOffset = pageOffset
      self.path = path
    }
  }

  /// Its pid; and those of its parent, its process group and its session.
  public var pid: Int32
  /// The pid of the process that it is a child of.
  public var parentPid: Int32 = 0
  /// Its process group.
  public var group: Int32 = 0
  /// Its session.
  public var session: Int32 = 0
  /// Who runs it.
  public var user: UInt32 = 0
  /// In which group that is.
  public var userGroup: UInt32 = 0
  /// R, S, T and so on, as /proc/PID/stat has it.
  public var state: UInt8 = UInt8(ascii: "R")
  /// How nice it is.
  public var nice: Int8 = 0
  /// The kernel's flags.
  public var flags: UInt64 = 0
  /// The name of the program, of which 15 bytes are kept.
  public var command: [UInt8] = []
  /// What it was called with, the words with a space between them, of which 79 bytes are kept.
  public var arguments: [UInt8] = []
  /// What the kernel has told it when it began (/proc/PID/auxv).
  public var auxiliaryVector: [UInt8] = []
  /// The time that it has computed, in microseconds.
  public var userMicroseconds: UInt64 = 0
  /// The time that it has spent in the kernel, in microseconds.
  public var systemMicroseconds: UInt64 = 0
  /// The same of its children that have ended.
  public var childUserMicroseconds: UInt64 = 0
  /// The same of its children that have ended.
  public var childSystemMicroseconds: UInt64 = 0
  /// Its threads; that comes first which debuggers show first.
  public var threads: [Thread] = []
  /// The files that it has mapped, in address order.
  public var files: [MappedFile] = []

  /// A process of which nothing else is known.
  public init(pid: Int32) {
    self.pid = pid
  }
}
