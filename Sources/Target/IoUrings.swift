internal import CSluiceLinux

/// The io_urings that a process has open, and what the kernel tells of them (io_uring/fdinfo.c).
struct IoUrings {
  private let pid: Int32
  /// Their descriptors in the process, as text; nil where its descriptors cannot be listed.
  private let descriptors: [String]?

  private static let link = "anon_inode:[io_uring]"

  init(of pid: Int32) {
    self.pid = pid
    descriptors = Self.names(in: "/proc/\(pid)/fd")
  }

  /// Whether there is none, for certain.
  var isEmpty: Bool { descriptors?.isEmpty == true }

  /// What the kernel tells of each now; of one that is busy at that moment nothing, for its lock is only tried.
  var texts: [String] {
    // One that is closed meanwhile has nothing to tell.
    (descriptors ?? []).compactMap { try? ProcFile.text(ofFileAt: "/proc/\(pid)/fdinfo/\($0)") }
  }

  private static func names(in path: String) -> [String]? {
    let directory = unsafe sluice_open_at(sluice_current_directory(), path, SLUICE_OPEN_DIRECTORY)
    guard directory >= 0 else { return nil }
    defer { _ = sluice_close(directory) }
    var names: [String] = []
    let listed = unsafe withUnsafeMutablePointer(to: &names) { pointer in
      unsafe sluice_list_directory(directory, pointer) { context, name in
        guard let context = unsafe context, let name = unsafe name else { return }
        unsafe context.assumingMemoryBound(to: [String].self).pointee.append(String(cString: name))
      }
    }
    guard listed == 0 else { return nil }
    return names.filter { isLinkedToRing($0, in: directory) }
  }

  private static func isLinkedToRing(_ name: String, in directory: Int32) -> Bool {
    var text = [CChar](repeating: 0, count: link.utf8.count + 1)
    let length = unsafe text.withUnsafeMutableBufferPointer {
      unsafe sluice_read_link_at(directory, name, $0.baseAddress, $0.count)
    }
    return length == link.utf8.count && text.prefix(link.utf8.count).elementsEqual(link.utf8.map(CChar.init))
  }
}
