internal import CSluiceLinux

extension TargetProcess {
  /// Some bytes of its memory; nil where they cannot be read.
  public func bytes(at address: UInt64, count: Int) -> [UInt8]? {
    var bytes = [UInt8](repeating: 0, count: count)
    var run = MemoryRun(address: address, length: UInt64(count))
    let got = unsafe bytes.withUnsafeMutableBytes {
      unsafe sluice_process_vm_readv(pid, $0.baseAddress, count, &run, 1)
    }
    return got == count ? bytes : nil
  }
}
