import Glibc
import SluiceTestSupport

@testable import SluicePipeline

/// A write engine that writes to an array, out of order, late, in parts and with errors, as its seed says.
final class ScriptedEngine: WriteEngine {
  private struct State: ~Copyable {
    var random: SplitMix
    var pending: [WriteRequest] = []
    var file: [UInt8]
    var handler: (@Sendable (WriteCompletion) -> Void)?
    var mostPending = 0
    var errors: [Int32] = []
    var isScheduled = false
  }

  private let thread = makeExecutor(name: "test-scripted")
  private let state: Locked<State>
  /// Of so many completions one is an error that lasts; 0 for none.
  private let errorShare: Int

  init(seed: UInt64, fileBytes: Int, errorShare: Int = 0) {
    state = Locked(State(random: SplitMix(seed: seed), file: [UInt8](repeating: 0, count: fileBytes)))
    self.errorShare = errorShare
  }

  var kind: String { "scripted" }
  var executor: any SerialExecutor & TaskExecutor { thread }
  /// What was written.
  var file: [UInt8] { state.withLock { $0.file } }
  /// The most writes that were in flight.
  var mostPending: Int { state.withLock { $0.mostPending } }
  /// The errors that were given, in order.
  var errors: [Int32] { state.withLock { $0.errors } }

  func setCompletionHandler(_ handler: @escaping @Sendable (WriteCompletion) -> Void) {
    thread.checkIsolated()
    state.withLock { $0.handler = handler }
  }

  func start(_ request: WriteRequest) {
    thread.checkIsolated()
    state.withLock { state in
      state.pending.append(request)
      state.mostPending = max(state.mostPending, state.pending.count)
    }
    scheduleCompletion()
  }

  func shutdown() {
    thread.shutdown()
  }

  private func scheduleCompletion() {
    let mustSchedule = state.withLock { state in
      defer { state.isScheduled = true }
      return !state.isScheduled
    }
    if mustSchedule { thread.perform { [self] in completeSome() } }
  }

  /// Completes one write in three turns, any of them; the turns in between are other jobs' of the thread.
  private func completeSome() {
    let (handler, completion, isMore) = state.withLock { state in
      state.isScheduled = false
      guard Int.random(in: 0..<3, using: &state.random) == 0,
        let index = state.pending.indices.randomElement(using: &state.random)
      else { return (state.handler, WriteCompletion?.none, !state.pending.isEmpty) }
      let request = state.pending.remove(at: index)
      return (
        state.handler, WriteCompletion(token: request.token, result: write(request, &state)),
        !state.pending.isEmpty
      )
    }
    if let completion { handler?(completion) }
    if isMore { scheduleCompletion() }
  }

  private func write(_ request: WriteRequest, _ state: inout State) -> Int {
    if errorShare > 0, Int.random(in: 0..<errorShare, using: &state.random) == 0 {
      let errno = [EIO, ENOSPC].randomElement(using: &state.random) ?? EIO
      state.errors.append(errno)
      return -Int(errno)
    }
    switch Int.random(in: 0..<6, using: &state.random) {
    case 0: return -Int(EINTR)
    case 1: return -Int(EAGAIN)
    case 2: return copy(request, unsafe Int.random(in: 0..<request.bytes.count, using: &state.random), &state)
    default: return copy(request, unsafe request.bytes.count, &state)
    }
  }

  private func copy(_ request: WriteRequest, _ count: Int, _ state: inout State) -> Int {
    for index in 0..<count { state.file[Int(request.offset) + index] = unsafe request.bytes[index] }
    return count
  }
}
