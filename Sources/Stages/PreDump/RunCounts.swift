internal import SluicePipeline

/// What a run has counted, of all stages and its source.
struct RunCounts: Sendable {
  var stages = StageCounts()
  var walker = MemoryWalker.Result(processes: [])
  var reads = ProcessTreeSource.ReadCounts()
  /// How long writing waited because as many writes were in flight as may be.
  var queueFull = StageWait()

  /// Those of one process.
  func counts(of process: DumpedProcess) -> (
    walker: MemoryWalker.Counts, sink: SinkStage.Counts, left: UInt64
  ) {
    (
      walker.processes[process.index], stages.sink.owners[process.owner] ?? SinkStage.Counts(),
      stages.leftToParent[process.owner] ?? 0
    )
  }

  /// The sums over those processes that have images.
  func total(
    of processes: [DumpedProcess]
  ) -> (walker: MemoryWalker.Counts, sink: SinkStage.Counts, left: UInt64) {
    var total = (walker: MemoryWalker.Counts(), sink: SinkStage.Counts(), left: UInt64(0))
    for process in processes where !process.hasFailed {
      let one = counts(of: process)
      total.walker += one.walker
      total.sink += one.sink
      total.left += one.left
    }
    return total
  }
}
