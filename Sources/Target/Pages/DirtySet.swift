public import CSluiceLinux

/// Which pages of several processes were written, as runs in memory of a fixed size.
///
/// It is filled while the processes are stopped, so nothing is allocated then: the memory is there, and touched,
/// before. A run takes two bytes where runs and gaps are short, as when every other page was written. When it is full,
/// neighbouring runs are joined over the gaps between them, the smallest gaps first: more pages then count as written,
/// never fewer.
public struct DirtySet: Sendable {
  /// The smallest that makes sense, in bytes: some ten thousand runs.
  public static let smallestBytes = 64 << 10

  /// The runs, as `RunCode` writes them.
  private var bytes: [UInt8]
  private var used = 0
  /// For each process that was begun, where its runs begin.
  private var starts: [Int] = []
  /// The last run of the last process, which may grow yet; it is not among the bytes.
  private var open: MemoryRun?
  /// Where the run before that ends; 0 where there is none.
  private var closedEnd: UInt64 = 0
  private let processCapacity: Int
  private let code = RunCode()
  /// The runs of all processes.
  public private(set) var runCount = 0
  /// Gaps up to this are joined over, in bytes.
  public private(set) var joinedGap: UInt64 = 0

  /// - Parameters:
  ///   - byteCount: the memory of the runs, in bytes.
  ///   - processCount: how many processes there are. Each has a run of its own at least, also where the memory is too small for that.
  public init(byteCount: Int, processCount: Int) {
    bytes = Array(repeating: 0, count: max(byteCount, Self.leastBytes(processCount: processCount)))
    starts.reserveCapacity(processCount)
    processCapacity = processCount
  }

  /// The memory that a set of so many processes has at least.
  static func leastBytes(processCount: Int) -> Int { (processCount + 1) * RunCode.mostBytes }

  /// The memory that is taken by now.
  var usedBytes: Int { used }

  /// What is added from now on belongs to the next process.
  public mutating func beginProcess() {
    precondition(starts.count < processCapacity, "a set has room for the processes that it was made for")
    close()
    starts.append(used)
    closedEnd = 0
  }

  /// Adds a run of the current process, above all that it has.
  public mutating func add(from start: UInt64, to end: UInt64) {
    precondition(!starts.isEmpty, "a run belongs to a process")
    guard start < end else { return }
    if let run = open {
      if start - (run.address + run.length) <= joinedGap {
        open = MemoryRun(address: run.address, length: end - run.address)
        return
      }
      close()
    }
    open = MemoryRun(address: start, length: end - start)
    runCount += 1
  }

  /// Writes the last run among the others.
  private mutating func close() {
    guard let run = open else { return }
    while bytes.count - used < RunCode.mostBytes { joinMore() }
    code.write(run, after: closedEnd, to: &bytes, at: &used)
    closedEnd = run.address + run.length
    open = nil
  }

  /// Joins runs over wider gaps than before, in place: what is joined takes no more bytes than its parts.
  private mutating func joinMore() {
    joinedGap = joinedGap == 0 ? code.pageSize : joinedGap > UInt64.max / 4 ? UInt64.max : joinedGap * 4
    var (kept, count) = (0, open == nil ? 0 : 1)
    for process in starts.indices {
      var index = starts[process]
      let end = process + 1 < starts.count ? starts[process + 1] : used
      starts[process] = kept
      var (readEnd, keptEnd): (UInt64, UInt64) = (0, 0)
      var joined: MemoryRun?
      while index < end {
        let run = code.read(bytes, at: &index, after: readEnd)
        readEnd = run.address + run.length
        if let last = joined, run.address - (last.address + last.length) <= joinedGap {
          joined = MemoryRun(address: last.address, length: readEnd - last.address)
          continue
        }
        if let last = joined {
          code.write(last, after: keptEnd, to: &bytes, at: &kept)
          keptEnd = last.address + last.length
          count += 1
        }
        joined = run
      }
      if let last = joined {
        code.write(last, after: keptEnd, to: &bytes, at: &kept)
        count += 1
      }
    }
    (used, runCount) = (kept, count)
  }

  /// Calls `body` for each run of a process, from low addresses to high ones.
  ///
  /// - Throws: what `body` throws.
  public func forEachRun<Failure: Error>(
    ofProcess process: Int, _ body: (MemoryRun) throws(Failure) -> Void
  ) throws(Failure) {
    let isLast = process + 1 == starts.count
    var (index, end) = (starts[process], UInt64(0))
    while index < (isLast ? used : starts[process + 1]) {
      let run = code.read(bytes, at: &index, after: end)
      end = run.address + run.length
      try body(run)
    }
    if isLast, let open { try body(open) }
  }

  /// The runs of a process, from low addresses to high ones.
  public func cursor(ofProcess process: Int) -> Cursor {
    let isLast = process + 1 == starts.count
    return Cursor(
      bytes: bytes, code: code, index: starts[process], end: isLast ? used : starts[process + 1],
      open: isLast ? open : nil)
  }

  /// Tells which pages of a process are in the set, in one pass upwards.
  public struct Cursor: Sendable {
    private let bytes: [UInt8]
    private let code: RunCode
    private var index: Int
    private let end: Int
    private var open: MemoryRun?
    private var current: MemoryRun?
    private var currentEnd: UInt64 = 0

    fileprivate init(bytes: [UInt8], code: RunCode, index: Int, end: Int, open: MemoryRun?) {
      self.bytes = bytes
      self.code = code
      self.index = index
      self.end = end
      self.open = open
      goOn()
    }

    private mutating func goOn() {
      if index < end {
        current = code.read(bytes, at: &index, after: currentEnd)
      } else {
        current = open.take()
      }
      if let current { currentEnd = current.address + current.length }
    }

    /// Whether the start of a range was written, and up to where that holds.
    ///
    /// - Parameter range: not empty; begins no lower than the end of the answer before.
    public mutating func next(in range: Range<UInt64>) -> (isDirty: Bool, end: UInt64) {
      while current != nil, currentEnd <= range.lowerBound { goOn() }
      guard let run = current, run.address < range.upperBound else { return (false, range.upperBound) }
      guard run.address <= range.lowerBound else { return (false, run.address) }
      return (true, min(currentEnd, range.upperBound))
    }
  }
}
