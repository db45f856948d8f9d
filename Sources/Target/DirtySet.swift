internal import CSluiceLinux

/// Which pages of several tasks were written, as runs in memory of a fixed size.
///
/// It is filled while the tasks stand still, so nothing is allocated then: the memory is there, and touched,
/// before. When it is full, neighbouring runs are joined over the gaps between them, the smallest gaps first:
/// more pages then count as written, never fewer.
public struct DirtySet: Sendable {
  /// The smallest that makes sense, in bytes: some thousand runs.
  public static let smallestBytes = 64 << 10

  private var runs: [MemoryRun]
  private var used = 0
  /// For each task that was begun, where its runs begin.
  private var starts: [Int] = []
  private let taskCapacity: Int
  /// Gaps up to this are joined over.
  public private(set) var joinedGap: UInt64 = 0

  /// - Parameters:
  ///   - byteCount: the memory of the runs, in bytes.
  ///   - taskCount: how many tasks there are. Each has a run of its own at least, whatever the memory.
  public init(byteCount: Int, taskCount: Int) {
    let capacity = max(byteCount / MemoryLayout<MemoryRun>.stride, 4 * taskCount)
    runs = Array(repeating: MemoryRun(address: 0, length: 0), count: capacity)
    starts.reserveCapacity(taskCount)
    taskCapacity = taskCount
  }

  /// The runs of all tasks.
  public var runCount: Int { used }

  /// What is added from now on belongs to the next task.
  public mutating func beginTask() {
    precondition(starts.count < taskCapacity, "a set has room for the tasks that it was made for")
    starts.append(used)
  }

  /// Adds a run of the current task, behind all that it has.
  public mutating func add(from start: UInt64, to end: UInt64) {
    precondition(!starts.isEmpty, "a run belongs to a task")
    guard start < end else { return }
    if let first = starts.last, used > first, joins(runs[used - 1], start) {
      let last = runs[used - 1]
      runs[used - 1] = MemoryRun(address: last.address, length: end - last.address)
      return
    }
    while used == runs.count { joinMore() }
    // Joining may have made the last run reach as far as this one.
    if let first = starts.last, used > first, joins(runs[used - 1], start) {
      let last = runs[used - 1]
      runs[used - 1] = MemoryRun(address: last.address, length: end - last.address)
      return
    }
    runs[used] = MemoryRun(address: start, length: end - start)
    used += 1
  }

  private func joins(_ run: MemoryRun, _ start: UInt64) -> Bool {
    start - (run.address + run.length) <= joinedGap
  }

  /// Joins runs over wider gaps than before.
  private mutating func joinMore() {
    joinedGap = joinedGap == 0 ? 4096 : joinedGap > UInt64.max / 4 ? UInt64.max : joinedGap * 4
    var kept = 0
    for task in starts.indices {
      let range = starts[task]..<(task + 1 < starts.count ? starts[task + 1] : used)
      let first = kept
      for index in range {
        let run = runs[index]
        if kept > first, joins(runs[kept - 1], run.address) {
          let last = runs[kept - 1]
          runs[kept - 1] = MemoryRun(
            address: last.address, length: run.address + run.length - last.address)
        } else {
          runs[kept] = run
          kept += 1
        }
      }
      starts[task] = first
    }
    used = kept
  }

  /// The runs of a task, from low addresses to high ones.
  public func cursor(ofTask task: Int) -> Cursor {
    let end = task + 1 < starts.count ? starts[task + 1] : used
    return Cursor(runs: runs[starts[task]..<end])
  }

  /// Tells of which pages of a task are in the set, in one pass upwards.
  public struct Cursor: Sendable {
    private var runs: ArraySlice<MemoryRun>

    fileprivate init(runs: ArraySlice<MemoryRun>) {
      self.runs = runs
    }

    /// What is to be said of the start of a range: whether it was written, and up to where that holds.
    ///
    /// - Parameter range: not empty; begins no lower than the end of the answer before.
    public mutating func next(in range: Range<UInt64>) -> (isDirty: Bool, end: UInt64) {
      while let run = runs.first, run.address + run.length <= range.lowerBound { runs.removeFirst() }
      guard let run = runs.first, run.address < range.upperBound else { return (false, range.upperBound) }
      guard run.address <= range.lowerBound else { return (false, run.address) }
      return (true, min(run.address + run.length, range.upperBound))
    }
  }
}
