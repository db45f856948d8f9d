internal import CSluiceLinux
import Glibc
internal import SluiceSystem

/// A userfaultfd of the process, with what it may be used for: only memory that is registered with it. The kernel does
/// not mind that itself: by any userfaultfd of a process, protection can be lifted that another one has given
/// (UFFDIO_WRITEPROTECT), and before Linux 6.15 the other's watch could be ended.
///
/// What is registered with another one is refused (EBUSY), and what is registered with this one already is left as it
/// is: so registering is also how it is found out whose memory it is.
struct Userfault: ~Copyable, Sendable {
  private let process: TargetProcess
  private let file: ProcFile
  private let pageSize = UInt64(sluice_page_size())

  /// Memory that is not registered.
  struct Refusal {
    let range: Range<UInt64>
    /// EBUSY where another userfaultfd has it; EPERM or EINVAL where it is of a kind that cannot be watched.
    let errno: SystemErrno
  }

  /// What has become of a stretch, from low addresses to high ones.
  struct Outcome {
    /// What is registered now.
    var watched: [Range<UInt64>] = []
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
        "the userfaultfd of process \(process.pid) is not ours, or does not protect asynchronously",
        errno: SystemErrno(returned: enabled))
    }
    self.process = process
    self.file = file
  }

  /// Registers all of a stretch but the mappings that cannot be.
  ///
  /// - Parameter stretches: the one whose last stretch it is.
  /// - Throws: `TargetError` when the kernel refuses for other reasons, or the memory is gone.
  func watch(
    _ stretch: Range<UInt64>, of stretches: borrowing RegistrableRanges
  ) throws(TargetError) -> Outcome {
    var outcome = Outcome()
    if let errno = register(stretch) {
      try findRefused(0..<stretches.mappings.count, of: stretches, in: stretch, errno, into: &outcome.refused)
      var low = stretch.lowerBound
      for found in outcome.refused {
        try watchGap(low..<max(low, found.range.lowerBound), into: &outcome)
        low = max(low, found.range.upperBound)
      }
      try watchGap(low..<max(low, stretch.upperBound), into: &outcome)
      outcome.refused.sort { $0.range.lowerBound < $1.range.lowerBound }
    } else {
      outcome.watched.append(stretch)
    }
    for range in outcome.watched {
      try mendCut(at: range.lowerBound)
      try mendCut(at: range.upperBound)
    }
    return outcome
  }

  /// Finds the mappings of a stretch that are the reason why it was refused, by halves.
  private func findRefused(
    _ mappings: Range<Int>, of stretches: borrowing RegistrableRanges, in stretch: Range<UInt64>,
    _ errno: SystemErrno, into refused: inout [Refusal]
  ) throws(TargetError) {
    if mappings.count == 1 {
      try check(errno)
      let mapping = stretches.mappings[mappings.lowerBound]
      refused.append(Refusal(range: mapping.start..<mapping.end, errno: errno))
      return
    }
    let middle = mappings.lowerBound + mappings.count / 2
    for half in [mappings.lowerBound..<middle, middle..<mappings.upperBound] {
      let isLast = half.upperBound == stretches.mappings.count
      let start = half.lowerBound == 0 ? stretch.lowerBound : stretches.boundary(before: half.lowerBound)
      let end = isLast ? stretch.upperBound : stretches.boundary(before: half.upperBound)
      guard let errno = register(start..<end) else { continue }
      try findRefused(half, of: stretches, in: stretch, errno, into: &refused)
    }
  }

  /// Registers what is between two mappings that cannot be: all of it, so that no mapping stays cut where the search for
  /// those came upon a bound that it has no longer.
  private func watchGap(_ gap: Range<UInt64>, into outcome: inout Outcome) throws(TargetError) {
    guard !gap.isEmpty else { return }
    guard let errno = register(gap) else {
      outcome.watched.append(gap)
      return
    }
    try check(errno)
    outcome.refused.append(Refusal(range: gap, errno: errno))
  }

  /// Refused: EBUSY by who was first, EPERM where nobody may ever write, EINVAL where the kernel cannot, or where there is
  /// nothing. ENOMEM says that a mapping had to be cut in two and the process has no room for one more, or that the memory
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
    let result = sluice_userfault_watch(file.descriptor, range.lowerBound, range.upperBound)
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

  /// Ends the watch of memory that is registered, and lifts what protection there is.
  ///
  /// - Throws: `TargetError` when the memory is gone.
  func unwatch(_ range: Range<UInt64>) throws(TargetError) {
    // EINVAL where there is nothing any more.
    _ = sluice_userfault_unwatch(file.descriptor, range.lowerBound, range.upperBound)
    for address in [range.lowerBound, range.upperBound] {
      guard let both = try neighbours(at: address), register(both) == nil else { continue }
      _ = sluice_userfault_unwatch(file.descriptor, both.lowerBound, both.upperBound)
    }
  }

  /// Ends the watch of a mapping, unless it is registered with another one.
  ///
  /// - Throws: `TargetError` when the memory is gone.
  func unwatchIfOurs(_ range: Range<UInt64>) throws(TargetError) {
    if let errno = register(range) { return try check(errno) }
    try unwatch(range)
  }

  /// Lifts the protection of memory that is registered, in steps.
  func unprotect(_ range: Range<UInt64>) {
    var turns = MmapLockPacer()
    var position = range.lowerBound
    while position < range.upperBound {
      let began = sluice_monotonic_nanoseconds()
      let next = (position..<range.upperBound).stepEnd(Self.unprotectedStepBytes)
      // Refused where something of it is not watched, at the first step.
      guard sluice_userfault_unprotect(file.descriptor, position, next) == 0 else { return }
      turns.held(since: began)
      position = next
    }
  }

  private static let unprotectedStepBytes: UInt64 = 16 << 20
}
