internal import SluiceTarget

/// Tells which pages of a process were written, for measuring: between two calls a write may be missed.
protocol WriteTracker: AnyObject {
  /// Forgets what was written until now.
  ///
  /// - Throws: `TargetError` when the process is gone or the kernel refuses.
  func begin() throws(TargetError)

  /// Adds the pages that were written since `begin` to a set, as those of its current task.
  ///
  /// - Throws: `TargetError`, likewise.
  func collect(into set: inout DirtySet) throws(TargetError)
}

/// By the kernel's soft-dirty bits. Whoever else goes by them, a chain of images that is being made, no longer can.
final class SoftDirtyTracker: WriteTracker {
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
