internal import CSluiceLinux

/// Does writes with pwrite on threads, where the kernel gives us no io_uring.
///
/// The actor that writes runs on one thread; as many others as writes can be in flight do them.
public final class ThreadWriteEngine: WriteEngine {
  private let thread: ThreadExecutor
  private let requests = Locked<[WriteRequest]>([])
  /// Counts the requests, and at the end the workers that are to stop.
  private let work = Semaphore()
  private let workers: [NamedThread]
  private let handler = Locked<(@Sendable (WriteCompletion) -> Void)?>(nil)

  /// Starts the threads.
  ///
  /// - Parameters:
  ///   - name: the executor's name (15 bytes at most); the others add a number to it.
  ///   - workers: how many threads write.
  ///   - cpus: the CPUs that all of them stay on; nil for wherever the kernel likes.
  /// - Throws: `NoThread`, where there is not even one to write.
  public init(name: String, workers count: Int, cpus: [UInt32]? = nil) throws(NoThread) {
    thread = try ThreadExecutor(name: name, cpus: cpus)
    workers = (0..<count).map { NamedThread(name: "\(name.prefix(12))-\($0)", cpus: cpus) }
    for (index, worker) in workers.enumerated() {
      do throws(NoThread) { try worker.start { [self] in runWorker() } } catch {
        // Those that there are take longer for the same.
        guard index == 0 else { break }
        thread.shutdown()
        throw error
      }
    }
  }

  /// What this engine is called.
  public var kind: String { "pwrite" }
  /// For actors that run here, and for their tasks.
  public var executor: any SerialExecutor & TaskExecutor { thread }

  /// Says who is told of completions.
  public func setCompletionHandler(_ handler: @escaping @Sendable (WriteCompletion) -> Void) {
    thread.checkIsolated()
    self.handler.withLock { $0 = handler }
  }

  /// Starts a write.
  public func start(_ request: WriteRequest) {
    thread.checkIsolated()
    requests.withLock { $0.append(request) }
    work.signal()
  }

  /// Ends the threads once every write that was started is done.
  public func shutdown() {
    // A signal for each that runs; one that was never started takes none, and need not be waited for.
    for _ in workers { work.signal() }
    for worker in workers { worker.join() }
    thread.shutdown()
  }

  private func runWorker() {
    while let request = nextRequest() {
      let result = unsafe sluice_pwrite(
        request.descriptor, request.bytes.baseAddress, request.bytes.count, request.offset)
      let completion = WriteCompletion(token: request.token, result: result)
      let handler = handler.withLock { $0 }
      thread.perform { handler?(completion) }
    }
  }

  /// The next request, or nil when there is none: then the engine is shutting down.
  private func nextRequest() -> WriteRequest? {
    work.wait()
    return requests.withLock { $0.isEmpty ? nil : $0.removeFirst() }
  }
}
