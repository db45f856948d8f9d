/// The io_urings that a process has open, and what the kernel tells of them (io_uring/fdinfo.c).
struct IoUrings: Sendable {
  private let pid: Int32
  /// Their descriptors in the process.
  let descriptors: [Int32]

  /// - Throws: `TargetError` when the process has ended, or its descriptors cannot be listed.
  init(of process: TargetProcess) throws(TargetError) {
    do throws(ProcFile.OpenFailed) {
      try self.init(ofProcess: process.pid)
    } catch {
      throw process.failure(of: "listing /proc/\(process.pid)/fd", errno: error.errno)
    }
  }

  /// - Throws: the errno, which only the caller can explain: ENOENT when the process has ended.
  init(ofProcess pid: Int32) throws(ProcFile.OpenFailed) {
    self.pid = pid
    descriptors = try OpenDescriptors(of: pid, linkedTo: "anon_inode:[io_uring]").numbers
  }

  var isEmpty: Bool { descriptors.isEmpty }

  /// What the kernel tells of each now; of one that is busy at that moment nothing, for its lock is only tried.
  var texts: [String] { descriptors.compactMap { text(of: $0) } }

  /// What the kernel tells of one of them now. Of one that cannot be read, or was closed meanwhile, nothing either.
  func text(of descriptor: Int32) -> String? {
    try? ProcFile.text(ofFileAt: "/proc/\(pid)/fdinfo/\(descriptor)")
  }
}
