internal import CSluiceLinux
internal import SluiceTarget

/// Tells which pages of a process were written, for measuring: of a write between two calls, or by a device, nothing
/// may be seen.
protocol WriteSampler: AnyObject {
  /// Forgets what was written until now.
  ///
  /// - Throws: `TargetError` when the process is gone or the kernel refuses.
  func begin() throws(TargetError)

  /// Adds the pages that were written since `begin` to a set, as those of its current process.
  ///
  /// - Throws: `TargetError`, likewise.
  func collect(into set: inout DirtySet) throws(TargetError)
}

/// By the kernel's soft-dirty bits. Whoever else goes by them, such as a chain of images that is being made, no longer
/// can.
final class SoftDirtySampler: WriteSampler {
  private let process: TargetProcess
  private var scanner: SoftDirtyScanner

  init(of process: TargetProcess) {
    self.process = process
    scanner = SoftDirtyScanner(like: process)
  }

  func begin() throws(TargetError) {
    _ = try SoftDirty.clear(process)
  }

  func collect(into set: inout DirtySet) throws(TargetError) {
    try scanner.collect(process, into: &set)
  }
}

/// By asynchronous write protection, which nobody else is disturbed by.
final class WriteProtectSampler: WriteSampler {
  private let protection: WriteProtection

  /// - Throws: `TargetError` with `notTrackable`, whose message says why, or `gone`.
  init(of process: TargetProcess, by injector: inout Injector) throws(TargetError) {
    protection = try WriteProtection(of: process, by: &injector)
  }

  func begin() throws(TargetError) {
    try protection.protectAll(swapped: .read)
  }

  func collect(into set: inout DirtySet) throws(TargetError) {
    var walk = try PageWalk(of: protection.process, by: protection, mode: .sample)
    while try walk.next() {
      for index in walk.runs.indices where walk.runs[index].mustCopy {
        let run = walk.runs[index].run
        set.add(from: run.address, to: run.address + run.length)
      }
    }
  }
}
