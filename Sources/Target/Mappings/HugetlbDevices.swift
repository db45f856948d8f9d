internal import CSluiceLinux
import Glibc

/// Tells which devices are a hugetlbfs.
///
/// All memory of huge pages that were set aside (not those that the kernel makes by itself) is of a file on one,
/// and a hugetlbfs has no other files: so one answer does for all mappings of a device.
struct HugetlbDevices {
  /// As many answers as are kept; a process rarely maps files of more filesystems.
  private static let capacity = 32

  private let process: TargetProcess
  private let pageSize = UInt64(sluice_page_size())
  private var answers: [(device: DeviceNumber, isHugetlb: Bool)] = []
  private var oldest = 0
  /// The devices that are known without asking for a mapping; nil until a kernel could not be asked.
  private var listed: [DeviceNumber]?

  init(of process: TargetProcess) {
    self.process = process
    answers.reserveCapacity(Self.capacity)
  }

  /// Whether the mapping is of huge pages that were set aside.
  ///
  /// - Throws: `TargetError` when the memory is gone or the kernel refuses to tell.
  mutating func contain(_ vma: VMA) throws(TargetError) -> Bool {
    guard vma.isFileBacked else { return false }
    if let known = answers.first(where: { $0.device == vma.device }) { return known.isHugetlb }
    guard let isHugetlb = try answer(for: vma) else { return false }
    remember(vma.device, isHugetlb)
    return isHugetlb
  }

  private mutating func remember(_ device: DeviceNumber, _ isHugetlb: Bool) {
    if answers.count < Self.capacity {
      answers.append((device, isHugetlb))
    } else {
      answers[oldest] = (device, isHugetlb)
      oldest = (oldest + 1) % Self.capacity
    }
  }

  /// Nil when the mapping is not there any more, so that nothing is known of its device.
  private mutating func answer(for vma: VMA) throws(TargetError) -> Bool? {
    switch try process.mapping(atOrAbove: vma.start) {
    case .mapping(let mapping):
      guard mapping.start <= vma.start,
        DeviceNumber(major: mapping.device_major, minor: mapping.device_minor) == vma.device
      else { return nil }
      return mapping.page_size != pageSize
    case .none:
      return nil
    case .cannotBeAsked:
      if listed == nil { listed = try Self.listed(for: process) }
      return listed?.contains(vma.device)
    }
  }

  /// Every hugetlbfs that the process can see mounted, and those that the kernel keeps for itself. It is all there
  /// is to go by before Linux 6.11; a file of a filesystem that was unmounted since is not recognised.
  ///
  /// - Throws: `TargetError` when the process is gone, or its mounts cannot be read.
  static func listed(for process: TargetProcess) throws(TargetError) -> [DeviceNumber] {
    // x86-64 has 2^21 and 2^30, others have more: a size that there is not is refused.
    let own = (12..<UInt32(40)).compactMap { shift -> DeviceNumber? in
      var (major, minor): (UInt32, UInt32) = (0, 0)
      guard unsafe sluice_hugetlb_device(shift, &major, &minor) == 0 else { return nil }
      return DeviceNumber(major: major, minor: minor)
    }
    return own + mounted(in: try mounts(of: process))
  }

  private static func mounts(of process: TargetProcess) throws(TargetError) -> String {
    let path = "/proc/\(process.pid)/mountinfo"
    do throws(ProcFile.OpenFailed) {
      return try ProcFile.text(ofFileAt: path)
    } catch {
      if error.errno.code == ENOENT || error.errno.code == ESRCH { throw TargetProcess.ended(process.pid) }
      throw TargetError(.systemCall, "reading \(path)", errno: error.errno)
    }
  }

  /// The devices of the hugetlbfs in the text of a mountinfo: proc_pid_mountinfo(5).
  static func mounted(in mountinfo: String) -> [DeviceNumber] {
    mountinfo.split(separator: "\n").compactMap { line in
      let fields = line.split(separator: " ")
      // After a variable number of fields a dash ends them, and the type follows.
      guard fields.count > 3, let dash = fields.dropFirst(6).firstIndex(of: "-"), dash + 1 < fields.count,
        fields[dash + 1] == "hugetlbfs"
      else { return nil }
      let numbers = fields[2].split(separator: ":").compactMap { UInt32($0) }
      return numbers.count == 2 ? DeviceNumber(major: numbers[0], minor: numbers[1]) : nil
    }
  }
}
