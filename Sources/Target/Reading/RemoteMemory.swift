public import CSluiceLinux
import Glibc
internal import SluiceSystem

/// Reads the memory of another process from outside, without stopping it.
public struct RemoteMemory: Sendable {
  /// What one call of `read` really got.
  public struct Outcome: Hashable, Sendable {
    /// The runs at the start of the table, which now say what is in the bytes.
    public var runCount = 0
    /// The bytes that were read.
    public var byteCount = 0
    /// Bytes that were there when they were planned and are no longer.
    public var vanishedBytes: UInt64 = 0
    /// Bytes that only /proc/PID/mem could read (PROT_NONE and the like).
    public var forcedBytes: UInt64 = 0
  }

  /// From this length on, the lock is free for longer while a run is copied than it is held to find its pages.
  private static let longRunBytes = 64 << 10

  private let process: TargetProcess
  private let clock: ReadClock?
  private let standsStill: Bool
  private let isSparse: Bool
  private let pageSize: UInt64

  /// The memory of this process.
  ///
  /// - Parameters:
  ///   - clock: is told when a read begins that may wait for somebody else.
  ///   - standsStill: whether the process is stopped: nobody waits for its mmap_lock then, and more is read at once.
  ///   - isSparse: whether pages are read that the page table does not have, such as those of a file, which the kernel brings
  ///     in: each page that cannot be read is then passed over by itself.
  public init(
    of process: TargetProcess, clock: ReadClock? = nil, standsStill: Bool = false, isSparse: Bool = false
  ) {
    self.standsStill = standsStill
    self.isSparse = isSparse
    self.process = process
    self.clock = clock
    pageSize = UInt64(sluice_page_size())
  }

  /// Reads runs of whole pages, one after the other, and rewrites their table to say what was got: pages
  /// that vanished are neither in the table nor in the bytes.
  ///
  /// process_vm_readv reads up to the first page that it cannot read. Then the page table is asked what is there
  /// now: where it has nothing, the read goes on at the next page that it has. What is there is read through
  /// /proc/PID/mem, which may read what the process itself may not.
  ///
  /// - Parameters:
  ///   - table: room for as many runs as the bytes have pages, since a hole cuts a run in two.
  ///   - runCount: how many runs stand at the start of the table.
  ///   - bytes: room for all of them.
  ///   - turns: of whoever reads on and on.
  /// - Throws: `TargetError`: `gone`, `notPermitted`, or `unreadable` for a page that is there but cannot
  ///   be read.
  public func read(
    table: UnsafeMutableBufferPointer<MemoryRun>, runCount: Int, into bytes: UnsafeMutableRawBufferPointer,
    turns: inout MmapLockPacer
  ) throws(TargetError) -> Outcome {
    var reading = unsafe Reading(
      table: table, runCount: runCount, bytes: bytes, pageSize: pageSize, standsStill: standsStill)
    var stalls = 0
    while reading.isUnfinished {
      if process.answersFaults {
        try readWithoutWaiting(&reading)
        continue
      }
      let batch = reading.nextBatch
      clock?.began(at: reading.current.address)
      let began = sluice_monotonic_nanoseconds()
      let got = unsafe sluice_process_vm_readv(
        process.pid, reading.destination, reading.room, batch.runs, batch.count)
      clock?.ended()
      if !standsStill, batch.byteCount / batch.count < Self.longRunBytes { turns.held(since: began) }
      guard got >= 0 || got == -Int(EFAULT) else {
        throw process.failure(of: "reading the memory", errno: SystemErrno(returned: got))
      }
      let kept = reading.keep(UInt64(max(0, got)))
      stalls = kept > 0 ? 0 : stalls + 1
      // A read that came short says nothing of the page behind it: what that is, the next one finds out. Were the page table
      // asked at once, a page that is read only when somebody comes to it (the vdso) would be taken for gone.
      if got == -Int(EFAULT) || stalls > Self.attempts {
        stalls = 0
        try readWhatStopped(&reading)
      }
    }
    return reading.outcome
  }

  /// Reads some of the current run through /proc/PID/mem.
  ///
  /// process_vm_readv waits for whoever answers the page faults of the process (userfaultfd), for as long as that takes
  /// and whatever signal comes but SIGKILL. /proc/PID/mem does not wait: such a page is an error at once.
  private func readWithoutWaiting(_ reading: inout Reading) throws(TargetError) {
    let run = reading.current
    var length = run.length
    // Below a stack it would make that grow: see below.
    switch try process.mapping(atOrAbove: run.address) {
    case .mapping(let mapping) where mapping.start <= run.address:
      length = min(length, mapping.end - run.address)
    case .mapping(let mapping): return reading.skip(upTo: mapping.start)
    case .none: return reading.skip(upTo: UInt64.max)
    case .cannotBeAsked: break
    }
    let got = unsafe sluice_pread(process.memory.descriptor, reading.destination, Int(length), run.address)
    if got >= Int(pageSize) {
      reading.keep(UInt64(got))
    } else {
      try readWhatStopped(&reading)
    }
  }

  /// How often a page that is there and cannot be read is tried: it may come and go while we look.
  private static let attempts = 100

  /// Deals with the page that process_vm_readv could not read: reads it, or proves that it is gone.
  ///
  /// Nothing else than pages that are there is read through /proc/PID/mem. Below a stack (MAP_GROWSDOWN) the kernel
  /// would take that for an access of the process, and have the stack grow.
  private func readWhatStopped(_ reading: inout Reading) throws(TargetError) {
    var reason = SystemErrno(code: EFAULT)
    for _ in 0..<Self.attempts {
      let run = reading.current
      let populated = try populatedPages(at: run)
      guard populated.length > 0, populated.address == run.address else {
        reading.skip(upTo: isSparse ? run.address + pageSize : populated.address)
        return
      }
      let got = unsafe sluice_pread(
        process.memory.descriptor, reading.destination, Int(populated.length), run.address)
      if got >= Int(pageSize) {
        reading.outcome.forcedBytes += reading.keep(UInt64(got))
        return
      }
      // 0 bytes: the memory itself is gone.
      guard got < 0 else { throw process.failure(of: "reading the memory", errno: SystemErrno(code: ESRCH)) }
      reason = SystemErrno(returned: got)
    }
    throw try unreadable(reading.current.address, reason)
  }

  /// The first pages in a run that there are at this moment, as far as one look at the page table goes: an empty
  /// run where it saw none, which begins where the look ended.
  private func populatedPages(at run: MemoryRun) throws(TargetError) -> MemoryRun {
    var entries = InlineArray<128, UInt64>(repeating: 0)
    let size = MemoryLayout<UInt64>.size
    let wanted = min(Int(run.length / pageSize), entries.count)
    let descriptor = process.pagemap.descriptor
    let offset = run.address / pageSize * UInt64(size)
    let got = unsafe withUnsafeMutableBytes(of: &entries) {
      unsafe sluice_pread(descriptor, $0.baseAddress, wanted * size, offset)
    }
    guard got >= size else {
      // Of what the kernel maps above all of the process's own memory (vsyscall) there is no table.
      if got == 0, isSparse { return MemoryRun(address: run.address, length: 0) }
      let errno = got < 0 ? SystemErrno(returned: got) : SystemErrno(code: ESRCH)
      throw process.failure(of: "reading the page states", errno: errno)
    }
    let seen = got / size
    var first = 0
    while first < seen, !PagemapEntry.isPopulated(entries[first]) { first += 1 }
    var end = first
    while end < seen, PagemapEntry.isPopulated(entries[end]) { end += 1 }
    return MemoryRun(
      address: run.address + UInt64(first) * pageSize, length: UInt64(end - first) * pageSize)
  }

  /// The error for a page that is there and cannot be read in any way.
  private func unreadable(_ address: UInt64, _ reason: SystemErrno) throws(TargetError) -> TargetError {
    try process.checkStillTheSame()
    if case .mapping(let mapping) = try process.mapping(atOrAbove: address), mapping.start <= address,
      !mapping.is_readable
    {
      return TargetError(.unreadable, HiddenMemory.message(for: address, of: process), errno: reason)
    }
    return TargetError(
      .unreadable,
      "the page at 0x\(String(address, radix: 16)) of process \(process.pid) is there but cannot be read, so its image"
        + " would have a hole",
      errno: reason)
  }
}
