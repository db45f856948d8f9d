/// Makes the notes of a core, in the order in which the kernel writes them (fill_note_info and write_note_info in
/// fs/binfmt_elf.c): those of the process behind the status of its first thread, then that thread's registers, then the
/// other threads.
public struct CoreNotes: Sendable {
  /// The types of notes (include/uapi/linux/elf.h).
  private enum NoteType {
    static let status: UInt32 = 1
    static let processInfo: UInt32 = 3
    static let auxiliaryVector: UInt32 = 6
    static let signalInfo: UInt32 = 0x5349_4749
    static let files: UInt32 = 0x4649_4c45
  }

  /// All notes, one behind the other.
  public private(set) var bytes: [UInt8] = []
  private let machine: CoreMachine

  /// The notes of a process, which has a thread at least.
  ///
  /// - Parameter pageSize: in bytes.
  public init(of process: CoreProcess, machine: CoreMachine = .current, pageSize: UInt64) {
    self.machine = machine
    for (index, thread) in process.threads.enumerated() {
      add(NoteType.status, status(of: thread, in: process))
      if index == 0 {
        add(NoteType.processInfo, Self.info(of: process))
        add(NoteType.signalInfo, Self.signalInfo(of: thread))
        add(NoteType.auxiliaryVector, process.auxiliaryVector)
        if !process.files.isEmpty { add(NoteType.files, Self.files(of: process, pageSize: pageSize)) }
      }
      for set in thread.sets {
        // The first one that there ever was belongs to nobody in particular; the others are Linux's.
        add(set.type, set.bytes, owner: set.type == CoreProcess.RegisterSet.floatingPoint ? "CORE" : "LINUX")
      }
    }
  }

  /// Adds a note: three words, the owner's name with its end, and what it says, each padded to four bytes.
  private mutating func add(_ type: UInt32, _ content: [UInt8], owner: String = "CORE") {
    let name = Array(owner.utf8) + [0]
    bytes.append(number: UInt32(name.count))
    bytes.append(number: UInt32(content.count))
    bytes.append(number: type)
    for part in [name, content] {
      bytes += part
      bytes.append(zeros: (4 - part.count % 4) % 4)
    }
  }

  /// struct elf_prstatus.
  private func status(of thread: CoreProcess.Thread, in process: CoreProcess) -> [UInt8] {
    var status: [UInt8] = []
    // struct elf_siginfo: the number, the code and the errno of the signal.
    status.append(number: thread.signal)
    status.append(zeros: 8)
    status.append(number: Int16(truncatingIfNeeded: thread.signal))
    status.append(zeros: 2)
    status.append(number: thread.pendingSignals)
    status.append(number: thread.blockedSignals)
    for number in [thread.id, process.parentPid, process.group, process.session] {
      status.append(number: number)
    }
    // The first thread stands for all that were there.
    let isFirst = thread.id == process.threads.first?.id
    for time in [
      isFirst ? process.userMicroseconds : thread.userMicroseconds,
      isFirst ? process.systemMicroseconds : thread.systemMicroseconds,
      process.childUserMicroseconds, process.childSystemMicroseconds,
    ] {
      status.append(number: time / 1_000_000)
      status.append(number: time % 1_000_000)
    }
    status += thread.registers.prefix(machine.registerBytes)
    status.append(zeros: max(0, machine.registerBytes - thread.registers.count))
    let hasFloatingPoint = thread.sets.contains { $0.type == CoreProcess.RegisterSet.floatingPoint }
    status.append(number: Int32(hasFloatingPoint ? 1 : 0))
    status.append(zeros: 4)
    return status
  }

  /// struct elf_prpsinfo.
  private static func info(of process: CoreProcess) -> [UInt8] {
    let letters = Array("RSDTZW".utf8)
    let state = letters.firstIndex(of: process.state)
    var info: [UInt8] = []
    info.append(UInt8(state ?? letters.count))
    info.append(state == nil ? UInt8(ascii: ".") : process.state)
    info.append(process.state == UInt8(ascii: "Z") ? 1 : 0)
    info.append(UInt8(bitPattern: process.nice))
    info.append(zeros: 4)
    info.append(number: process.flags)
    info.append(number: process.user)
    info.append(number: process.userGroup)
    for number in [process.pid, process.parentPid, process.group, process.session] {
      info.append(number: number)
    }
    info.append(text: process.command, room: 16)
    info.append(text: process.arguments, room: 80)
    return info
  }

  /// siginfo_t. Of a thread that no signal has stopped there is none to tell of.
  private static func signalInfo(of thread: CoreProcess.Thread) -> [UInt8] {
    let length = 128
    return Array(thread.signalInfo.prefix(length))
      + [UInt8](repeating: 0, count: max(0, length - thread.signalInfo.count))
  }

  /// How many files, the size of a page, three words for each, then the paths.
  private static func files(of process: CoreProcess, pageSize: UInt64) -> [UInt8] {
    var files: [UInt8] = []
    files.append(number: UInt64(process.files.count))
    files.append(number: pageSize)
    for file in process.files {
      files.append(number: file.range.lowerBound)
      files.append(number: file.range.upperBound)
      files.append(number: file.pageOffset)
    }
    for file in process.files { files += file.path + [0] }
    return files
  }
}

extension [UInt8] {
  /// Appends a number, the low byte first.
  mutating func append<Number: FixedWidthInteger>(number: Number) {
    var rest = Number.Magnitude(truncatingIfNeeded: number)
    for _ in 0..<Number.bitWidth / 8 {
      append(UInt8(truncatingIfNeeded: rest))
      rest >>= 8
    }
  }

  /// Appends so many zeros.
  mutating func append(zeros count: Int) {
    self += [UInt8](repeating: 0, count: count)
  }

  /// Appends a text in a room of a fixed size, with a zero at its end.
  fileprivate mutating func append(text: [UInt8], room: Int) {
    let kept = text.prefix(room - 1)
    self += kept
    append(zeros: room - kept.count)
  }
}
