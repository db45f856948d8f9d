internal import CSluiceLinux
internal import SluiceSystem

/// The descriptors of a process whose link in /proc/PID/fd says what is asked for.
struct OpenDescriptors {
  let numbers: [Int32]

  /// - Parameter byEnding: whether the link may begin with anything, and is only to end so.
  /// - Throws: the errno, which only the caller can explain: ENOENT when the process has ended.
  init(of pid: Int32, linkedTo link: String, byEnding: Bool = false) throws(ProcFile.OpenFailed) {
    var numbers = [Int32](repeating: 0, count: 16)
    while true {
      let count = unsafe numbers.withUnsafeMutableBufferPointer {
        unsafe sluice_find_descriptors(pid, link, byEnding, $0.baseAddress, $0.count)
      }
      guard count >= 0 else { throw ProcFile.OpenFailed(errno: SystemErrno(returned: count)) }
      guard count > numbers.count else {
        self.numbers = Array(numbers[..<Int(count)])
        return
      }
      numbers = [Int32](repeating: 0, count: 2 * Int(count))
    }
  }
}
