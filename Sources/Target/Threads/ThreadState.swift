internal import CSluiceLinux
import Glibc
internal import SluiceSystem

/// A thread as it stands: what a debugger wants to know of it.
public struct ThreadState: Sendable, Hashable {
  /// A set of registers.
  public struct RegisterSet: Sendable, Hashable {
    /// The type of its note in a core, by which ptrace(2) knows it, too.
    public let type: UInt32
    /// As the kernel gives them.
    public let bytes: [UInt8]
  }

  /// The thread's id, as we see it.
  public let id: Int32
  /// The general registers.
  public let registers: [UInt8]
  /// The other sets, in the order in which the kernel writes them into a core.
  public let sets: [RegisterSet]
  /// The signals that it has blocked, as bits.
  public let blockedSignals: UInt64
  /// The signal that it was about to get; 0 for none.
  public let signal: Int32
  /// What the kernel knows of that (siginfo_t); empty where there is none.
  public let signalInfo: [UInt8]

  /// The type of the note with the general registers (NT_PRSTATUS).
  private static let general: UInt32 = 1
  /// The others (include/uapi/linux/elf.h), as arch/*/kernel/ptrace.c lists them: floating point first.
  private static var others: [UInt32] {
    #if arch(arm64)
      // TLS, breakpoints, watchpoints, the system call, SVE, pointer authentication, its keys, memory tags.
      [2, 0x401, 0x402, 0x403, 0x404, 0x405, 0x406, 0x409]
    #else
      // The extended state; the shadow stack, where there is one.
      [2, 0x202, 0x204]
    #endif
  }
  /// More than any processor has: the state of SME alone is 64 KiB.
  private static let roomBytes = 128 << 10

  /// Reads the registers of a thread that we trace, and that stands.
  ///
  /// - Parameter room: of `makeRoom`, for what the kernel gives.
  /// - Returns: nil where it has ended.
  /// - Throws: `TargetError` when the kernel refuses.
  init?(of thread: Int32, in room: inout [UInt8]) throws(TargetError) {
    guard let registers = try Self.read(Self.general, of: thread, in: &room) else { return nil }
    var sets: [RegisterSet] = []
    for type in Self.others {
      guard let bytes = try Self.read(type, of: thread, in: &room), !bytes.isEmpty else { continue }
      sets.append(RegisterSet(type: type, bytes: bytes))
    }
    var blocked: UInt64 = 0
    let result = unsafe sluice_blocked_signals(thread, &blocked)
    let signal = unsafe room.withUnsafeMutableBytes {
      unsafe sluice_signal_of_thread(thread, $0.baseAddress, 128)
    }
    for answer in [result, signal] where answer < 0 {
      if answer == -ESRCH { return nil }
      throw Self.failure(of: thread, SystemErrno(returned: answer))
    }
    id = thread
    self.registers = registers
    self.sets = sets
    blockedSignals = blocked
    self.signal = signal
    signalInfo = signal == 0 ? [] : Array(room[..<128])
  }

  /// Room for one set of registers.
  static func makeRoom() -> [UInt8] { [UInt8](repeating: 0, count: roomBytes) }

  /// Nil where there are none, or the thread has ended.
  private static func read(
    _ type: UInt32, of thread: Int32, in room: inout [UInt8]
  ) throws(TargetError) -> [UInt8]? {
    let count = unsafe room.withUnsafeMutableBytes {
      unsafe sluice_read_register_set(thread, type, $0.baseAddress, $0.count)
    }
    guard count < 0 else { return Array(room[..<count]) }
    let errno = SystemErrno(returned: count)
    switch errno.name {
    case "ESRCH": return nil
    // The processor, or the thread, has none of these.
    case "EINVAL", "ENODEV", "EIO", "EOPNOTSUPP": if type != general { return nil }
    default: break
    }
    throw failure(of: thread, errno)
  }

  private static func failure(of thread: Int32, _ errno: SystemErrno) -> TargetError {
    TargetError(.systemCall, "reading the registers of thread \(thread)", errno: errno)
  }
}

extension StoppedThreads {
  /// The threads of a process that stand, the first one first.
  ///
  /// - Throws: `TargetError` when the kernel refuses.
  func threadStates(of process: TargetProcess) throws(TargetError) -> [ThreadState] {
    checkThread()
    guard let place = processes.firstIndex(where: { $0.process.pid == process.pid }) else { return [] }
    var room = ThreadState.makeRoom()
    var states: [ThreadState] = []
    for thread in table.threads where thread.process == place {
      guard case .stopped = thread.state, let state = try ThreadState(of: thread.id, in: &room) else {
        continue
      }
      if thread.isFirst { states.insert(state, at: 0) } else { states.append(state) }
    }
    return states
  }
}

extension StoppedTree {
  /// The threads of a process that stand, the first one first; none where a cgroup is frozen instead, whose threads nobody
  /// may look into.
  ///
  /// - Throws: `TargetError` when the kernel refuses.
  public func threadStates(of process: TargetProcess) throws(TargetError) -> [ThreadState] {
    switch threads {
    case .some(let threads): try threads.threadStates(of: process)
    case .none: []
    }
  }
}
