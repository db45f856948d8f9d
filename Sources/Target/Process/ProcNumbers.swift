internal import CSluiceLinux
import Glibc
internal import SluiceSystem

extension ProcFile {
  /// The names in a directory below /proc that are numbers: of processes, of threads.
  ///
  /// - Throws: the errno of what failed, which only the caller can explain.
  static func numbers(inDirectoryAt path: String) throws(OpenFailed) -> [Int32] {
    let opened = unsafe sluice_open_at(sluice_current_directory(), path, SLUICE_OPEN_DIRECTORY)
    guard opened >= 0 else { throw OpenFailed(errno: SystemErrno(returned: opened)) }
    let directory = ProcFile(adopting: opened)
    var numbers: [Int32] = []
    let result = unsafe withUnsafeMutablePointer(to: &numbers) { pointer in
      unsafe sluice_list_directory(directory.descriptor, pointer) { context, name in
        guard let context = unsafe context, let name = unsafe name,
          let number = Int32(unsafe String(cString: name))
        else { return }
        unsafe context.assumingMemoryBound(to: [Int32].self).pointee.append(number)
      }
    }
    guard result == 0 else { throw OpenFailed(errno: SystemErrno(returned: result)) }
    return numbers
  }
}
