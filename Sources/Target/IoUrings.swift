internal import CSluiceLinux
import Glibc

/// The io_urings that a process has open, and what the kernel tells of them (io_uring/fdinfo.c).
struct IoUrings {
  private let pid: Int32
  /// Their descriptors in the process, as text.
  let descriptors: [String]

  private static let link = "anon_inode:[io_uring]"

  /// - Throws: `TargetError` when the process has ended, or its descriptors cannot be listed.
  init(of process: TargetProcess) throws(TargetError) {
    pid = process.pid
    let path = "/proc/\(pid)/fd"
    do throws(ProcFile.OpenFailed) {
      descriptors = try Self.names(in: path)
    } catch {
      throw process.failure(of: "listing \(path)", errno: error.errno)
    }
  }

  var isEmpty: Bool { descriptors.isEmpty }

  /// What the kernel tells of each now; of one that is busy at that moment nothing, for its lock is only tried.
  var texts: [String] { descriptors.compactMap { text(of: $0) } }

  /// What the kernel tells of one of them now. Of one that cannot be read, or was closed meanwhile, nothing either.
  func text(of descriptor: String) -> String? {
    try? ProcFile.text(ofFileAt: "/proc/\(pid)/fdinfo/\(descriptor)")
  }

  private static func names(in path: String) throws(ProcFile.OpenFailed) -> [String] {
    let directory = unsafe sluice_open_at(sluice_current_directory(), path, SLUICE_OPEN_DIRECTORY)
    guard directory >= 0 else { throw ProcFile.OpenFailed(errno: SystemErrno(returned: directory)) }
    defer { _ = sluice_close(directory) }
    var names: [String] = []
    let listed = unsafe withUnsafeMutablePointer(to: &names) { pointer in
      unsafe sluice_list_directory(directory, pointer) { context, name in
        guard let context = unsafe context, let name = unsafe name else { return }
        unsafe context.assumingMemoryBound(to: [String].self).pointee.append(String(cString: name))
      }
    }
    guard listed == 0 else { throw ProcFile.OpenFailed(errno: SystemErrno(returned: listed)) }
    var rings: [String] = []
    for name in names where try isLinkedToRing(name, in: directory) { rings.append(name) }
    return rings
  }

  private static func isLinkedToRing(
    _ name: String, in directory: Int32
  ) throws(ProcFile.OpenFailed) -> Bool {
    var text = [CChar](repeating: 0, count: link.utf8.count + 1)
    let length = unsafe text.withUnsafeMutableBufferPointer {
      unsafe sluice_read_link_at(directory, name, $0.baseAddress, $0.count)
    }
    guard length >= 0 else {
      let errno = SystemErrno(returned: length)
      // Closed meanwhile.
      if errno.name == "ENOENT" { return false }
      throw ProcFile.OpenFailed(errno: errno)
    }
    return length == link.utf8.count && text.prefix(length).elementsEqual(link.utf8.map(CChar.init))
  }
}
