/// What is known of the threads that are being stopped, in the order of their ids.
///
/// It grows only where more threads are found than it has room for: nothing is allocated for each thread while
/// a process stands still.
struct ThreadTable {
  /// What a thread was last seen doing.
  enum State: Hashable {
    /// It was told to stop and has not done so yet.
    case stopping
    /// It is stopped. The signal is the one that it was about to get, and has to get yet; 0 for none.
    case stopped(signal: Int32)
    /// It has ended and is listed all the same, as the first thread is until the last one ends.
    case zombie
    /// It is neither told to stop nor waited for: a worker of the kernel's, or of a process that dumps core.
    case leftAlone
    /// It has ended, or is not traced by us; when it is listed again, it is another one.
    case gone
  }

  /// A thread, by the kernel's id.
  struct Thread: Hashable {
    let id: Int32
    /// Whether it is the one that the process has its pid from.
    let isFirst: Bool
    /// The place of its process among those that are stopped.
    var process = 0
    var state: State
  }

  /// In the order of their ids.
  private(set) var threads: [Thread] = []

  init(capacity: Int) {
    threads.reserveCapacity(capacity)
  }

  /// How many are stopped.
  var stoppedCount: Int {
    threads.count {
      if case .stopped = $0.state { true } else { false }
    }
  }

  /// Notes that the thread is listed.
  ///
  /// - Returns: its place if it has to be stopped yet; nil if it is known.
  mutating func add(_ id: Int32, isFirst: Bool = false, of process: Int = 0) -> Int? {
    let index = place(of: id)
    let new = Thread(id: id, isFirst: isFirst, process: process, state: .stopping)
    guard index < threads.count, threads[index].id == id else {
      threads.insert(new, at: index)
      return index
    }
    guard threads[index].state == .gone else { return nil }
    threads[index] = new
    return index
  }

  /// Whether a thread that is listed stays as it is: it is stopped, or is a first one that has ended.
  ///
  /// Others that have ended leave the list at any moment, and a list from which one goes while it is read may lack
  /// those behind it.
  func isSettled(_ id: Int32) -> Bool {
    let index = place(of: id)
    guard index < threads.count, threads[index].id == id else { return false }
    switch threads[index].state {
    case .stopped, .leftAlone: return true
    case .zombie: return threads[index].isFirst
    case .stopping, .gone: return false
    }
  }

  mutating func note(_ state: State, at index: Int) {
    threads[index].state = state
  }

  /// The first place whose id is not lower. Ids are mostly listed upwards, so new ones belong at the end.
  private func place(of id: Int32) -> Int {
    guard let last = threads.last, last.id >= id else { return threads.count }
    var (low, high) = (0, threads.count - 1)
    while low < high {
      let middle = (low + high) / 2
      if threads[middle].id < id { low = middle + 1 } else { high = middle }
    }
    return low
  }
}
