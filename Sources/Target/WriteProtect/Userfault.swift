internal import CSluiceLinux
import Glibc
internal import SluiceSystem

/// A userfaultfd of the process, with what it may be used for: only memory that is registered with it. The kernel does
/// not mind that itself: by any userfaultfd of a process, protection can be lifted that another one has given
/// (UFFDIO_WRITEPROTECT), and before Linux 6.15 the other's registration could be ended.
///
/// What is registered with another one is refused (EBUSY), and what is registered with this one already is left as it
/// is: so the attempt to register memory also tells whose it is.
struct Userfault: ~Copyable, Sendable {
  private let process: TargetProcess
  private let file: ProcFile
  private let pageSize = UInt64(sluice_page_size())

  /// Memory that is not registered.
  struct Refusal {
    let range: Range<UInt64>
    /// EBUSY where another userfaultfd has it; EPERM or EINVAL where it is of a kind that cannot be registered.
    let errno: SystemErrno
  }

  /// What has become of a range, from low addresses to high ones.
  struct Outcome {
    /// What is registered now.
    var registered: [Range<UInt64>] = []
    /// What is not.
    var refused: [Refusal] = []
  }

  /// - Parameter file: a fresh one of the process.
  /// - Throws: `TargetError` with `notTrackable` when it does not protect asynchronously.
  init(of process: TargetProcess, adopting file: consuming ProcFile) throws(TargetError) {
    let enabled = sluice_userfault_enable(file.descriptor)
    guard enabled == 0 else {
      throw TargetError(
        .notTrackable,
        "cannot use the userfaultfd made in process \(process.pid) (foreign, or without asynchronous write protection)",
        errno: SystemErrno(returned: enabled))
    }
    self.process = process
    self.file = file
  }

  /// Registers all of a range but the mappings that cannot be.
  ///
  /// - Parameter ranges: the list whose last range it is.
  /// - Throws: `TargetError` when the kernel refuses for other reasons, or the memory is gone.
  func registerMost(
    of range: Range<UInt64>, in ranges: borrowing RegistrableRanges
  ) throws(TargetError) -> Outcome {
    var outcome = Outcome()
    if let errno = register(range) {
      try findRefused(0..<ranges.mappings.count, of: ranges, in: range, errno, into: &outcome.refused)
      var low = range.lowerBound
      for found in outcome.refused {
        try registerGap(low..<max(low, found.range.lowerBound), into: &outcome)
        low = max(low, found.range.upperBound)
      }
      try registerGap(low..<max(low, range.upperBound), into: &outcome)
      outcome.refused.sort { $0.range.lowerBound < $1.range.lowerBound }
    } else {
      outcome.registered.append(range)
    }
    for found in outcome.registered {
      try mendCut(at: found.lowerBound)
      try mendCut(at: found.upperBound)
    }
    return outcome
  }

  /// Finds the mappings of a range for which it was refused, by halves.
  private func findRefused(
    _ mappings: Range<Int>, of ranges: borrowing RegistrableRanges, in range: Range<UInt64>,
    _ errno: SystemErrno, into refused: inout [Refusal]
  ) throws(TargetError) {
    if mappings.count == 1 {
      try check(errno)
      let mapping = ranges.mappings[mappings.lowerBound]
      refused.append(Refusal(range: mapping.start..<mapping.end, errno: errno))
      return
    }
    let middle = mappings.lowerBound + mappings.count / 2
    for half in [mappings.lowerBound..<middle, middle..<mappings.upperBound] {
      let isLast = half.upperBound == ranges.mappings.count
      let start = half.lowerBound == 0 ? range.lowerBound : ranges.boundary(before: half.lowerBound)
      let end = isLast ? range.upperBound : ranges.boundary(before: half.upperBound)
      guard let errno = register(start..<end) else { continue }
      try findRefused(half, of: ranges, in: range, errno, into: &refused)
    }
  }

  /// Registers all memory between two mappings that cannot be registered, so that no mapping stays cut where the search
  /// for those came upon a bound that it has no longer.
  private func registerGap(_ gap: Range<UInt64>, into outcome: inout Outcome) throws(TargetError) {
    guard !gap.isEmpty else { return }
    guard let errno = register(gap) else {
      outcome.registered.append(gap)
      return
    }
    try check(errno)
    outcome.refused.append(Refusal(range: gap, errno: errno))
  }

  /// The kernel refuses with EBUSY what somebody else has registered, with EPERM what nobody may ever write, and with
  /// EINVAL what it cannot protect, or where there is nothing. ENOMEM says that a mapping had to be cut in two and the process has no room for one more, or that the memory
  /// is gone.
  private func check(_ errno: SystemErrno) throws(TargetError) {
    switch errno.code {
    case EBUSY, EPERM, EINVAL: return
    case ENOMEM:
      try process.checkMemoryIsThere()
      throw TargetError(
        .notTrackable,
        "watching the memory of process \(process.pid) (has it as many mappings as vm.max_map_count allows?)",
        errno: errno)
    default: throw process.failure(of: "watching the memory", errno: errno)
    }
  }

  /// - Returns: nil when all of it is registered; else nothing has changed.
  private func register(_ range: Range<UInt64>) -> SystemErrno? {
    let result = sluice_userfault_register(file.descriptor, range.lowerBound, range.upperBound)
    return result == 0 ? nil : SystemErrno(returned: result)
  }

  /// Puts a mapping together again that was cut because it has grown over an address after it was listed. (Before Linux
  /// 6.11, which cannot be asked for a mapping, the next look at all of them does so.)
  ///
  /// Where two different mappings meet, both are registered as they are, or refused: no harm is done.
  private func mendCut(at address: UInt64) throws(TargetError) {
    guard let both = try neighbours(at: address) else { return }
    if let errno = register(both) { try check(errno) }
  }

  /// The mappings that end and begin at an address, if they may be parts of one.
  private func neighbours(at address: UInt64) throws(TargetError) -> Range<UInt64>? {
    guard address >= pageSize,
      case .mapping(let below) = try process.mapping(atOrAbove: address - pageSize),
      below.start < address, below.end == address,
      case .mapping(let above) = try process.mapping(atOrAbove: address), above.start == address,
      below.inode == above.inode, below.device_major == above.device_major,
      below.device_minor == above.device_minor, below.page_size == above.page_size
    else { return nil }
    return below.start..<above.end
  }

  /// Ends the registration of memory, and lifts the protection of its pages.
  ///
  /// - Throws: `TargetError` when the memory is gone.
  func unregister(_ range: Range<UInt64>) throws(TargetError) {
    // EINVAL where there is nothing any more.
    _ = sluice_userfault_unregister(file.descriptor, range.lowerBound, range.upperBound)
    for address in [range.lowerBound, range.upperBound] {
      guard let both = try neighbours(at: address), register(both) == nil else { continue }
      _ = sluice_userfault_unregister(file.descriptor, both.lowerBound, both.upperBound)
    }
  }

  /// Ends the registration of a mapping, unless it is registered with another userfaultfd.
  ///
  /// - Throws: `TargetError` when the memory is gone.
  func unregisterIfOurs(_ range: Range<UInt64>) throws(TargetError) {
    if let errno = register(range) { return try check(errno) }
    try unregister(range)
  }

  /// Lifts the protection of memory that is registered, in steps.
  func unprotect(_ range: Range<UInt64>) {
    var turns = MmapLockPacer()
    var position = range.lowerBound
    while position < range.upperBound {
      let began = sluice_monotonic_nanoseconds()
      let next = (position..<range.upperBound).stepEnd(Self.unprotectedStepBytes)
      // The kernel refuses the first step where some of it is not registered.
      guard sluice_userfault_unprotect(file.descriptor, position, next) == 0 else { return }
      turns.held(since: began)
      position = next
    }
  }

  private static let unprotectedStepBytes: UInt64 = 16 << 20
}
