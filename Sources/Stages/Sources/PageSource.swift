internal import CSluiceLinux
internal import SluicePipeline

/// Where pages come from: a process tree, a chain of images, or wherever a program has memory.
///
/// A run calls `walk` once, which says what there is, in address order for each process. Meanwhile one or more readers,
/// each on a thread of its own, fill the buffers of the plans. `PageCopy` copies from a source of your own.
public protocol PageSource: Sendable {
  /// Says what there is: for each process `begin`, its runs in address order, `end`.
  ///
  /// - Parameter plans: takes all that is said.
  /// - Throws: any error, which ends the run.
  func walk(_ plans: inout PlanWriter) async throws

  /// Makes a reader, for one thread. Called once for each reader, before `walk`.
  func makeReader() -> any PageSourceReader

  /// Why the memory of a process is not complete; nil where nothing went wrong with it so far. Asked when all of its pages
  /// were written, on the thread of the sink: it must not block.
  func failure(of owner: PageOwner) -> SluiceError?
}

extension PageSource {
  /// Nothing goes wrong with one process alone.
  public func failure(of owner: PageOwner) -> SluiceError? { nil }
}

/// A source that has all pages by `PlanWriter.fill`, and nothing left for readers: what it has filled goes straight to the
/// next stage, without two changes of threads.
protocol FillingSource: PageSource {}

/// Reads the pages of plans, on a thread of its own.
public protocol PageSourceReader: AnyObject, Sendable {
  /// Reads the pages of a plan into its buffer. It may block: no other work is on its thread. But nothing ends the run, not
  /// even cancelling it, before it has come back.
  ///
  /// A plan of which nothing is filled is taken for read as it is: so fill it by `fillRuns`, or throw.
  ///
  /// - Throws: any error, which ends the run.
  func fill(_ plan: inout ReadPlan) throws
}

extension ReadPlan {
  /// How many bytes the plan's runs have together.
  public var byteCount: Int { buffer.byteCount }

  /// Fills the buffer, run by run: `read` gets a run and the room for its bytes, and says how many bytes from its start it
  /// has read (whole pages). Pages behind these have vanished, and are left out.
  ///
  /// A number of bytes that is not one of whole pages, or more than there is room for, ends the run with `invalidArgument`.
  ///
  /// - Throws: what `read` throws.
  public mutating func fillRuns<Failure: Error>(
    _ read: (PageRun, inout MutableRawSpan) throws(Failure) -> Int
  ) throws(Failure) {
    let pageSize = buffer.pageSize
    var (kept, target) = (0, 0)
    for index in 0..<buffer.runCount {
      let run = unsafe PageRun(buffer.runTable[index])
      let length = Int(run.byteCount)
      // What was read before may be shorter than its room: the bytes of all runs are without gaps.
      var room = unsafe MutableRawSpan(
        _unsafeBytes: UnsafeMutableRawBufferPointer(rebasing: buffer.bytes[target..<target + length]))
      let count = try read(run, &room)
      guard count >= 0, count <= length, count % pageSize == 0 else {
        // The stage that calls the reader ends the run by it.
        mistake = SluiceError(
          .invalidArgument,
          "a source's reader says that it has read \(count) bytes of \(length), and only whole pages can be")
        break
      }
      target += count
      guard count > 0 else { continue }
      unsafe buffer.runTable[kept] = PageRun(address: run.address, byteCount: UInt64(count)).memoryRun
      kept += 1
    }
    buffer.keep(runCount: kept, byteCount: target)
  }
}
