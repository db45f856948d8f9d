public import CSluiceLinux

/// An executor whose run loop is an io_uring: one thread that runs jobs, submits writes and takes their
/// completions, and sleeps in one system call for all of them.
///
/// Setting up, registering buffers, submitting and closing all happen on that thread, since the ring is
/// made for a single issuer.
public final class RingExecutor: SerialExecutor, TaskExecutor, WriteEngine {
  /// The kernel gives us no io_uring.
  public struct Unavailable: Error {
    /// The kernel's reason: ENOSYS, EPERM (kernel.io_uring_disabled, seccomp), ENOMEM.
    public let errno: SystemErrno
  }

  private struct State: ~Copyable {
    var jobs: [UnownedJob] = []
    /// What the thread is to do beside jobs.
    var errands: [@Sendable () -> Void] = []
    var isShutDown = false
    /// Whether the thread is, or is about to be, asleep in the kernel: then the eventfd wakes it.
    var isSleeping = false
    /// Whether the ring has gone: then the thread sleeps without it.
    var isBroken = false
    /// Nil until the ring was tried.
    var setUp: Result<Void, Unavailable>?

    /// Whether there is nothing to run.
    var isIdle: Bool { jobs.isEmpty && errands.isEmpty }
  }

  /// What only the thread itself touches.
  @safe
  private struct Confined: ~Copyable {
    /// Nil when it has broken down, and at the end.
    var ring: OpaquePointer?
    /// The tokens of writes that have not completed.
    var inFlight: [UInt64] = []
    /// What it broke down with.
    var breakdown: SystemErrno?
    /// Whether each buffer was registered; nil where registering was refused or not wanted.
    var registered: [Bool]?
    var handler: (@Sendable (WriteCompletion) -> Void)?
  }

  private static let wakeToken = UInt64.max

  private let state = Locked(State())
  private let thread: NamedThread
  private let event: Int32
  private let buffers: BufferRing
  private let registersBuffers: Bool
  private let onFallback: @Sendable (SystemErrno) -> Void
  nonisolated(unsafe) private var confined = Confined()

  /// Starts the thread and its ring.
  ///
  /// - Parameters:
  ///   - name: the thread's name (15 bytes at most).
  ///   - depth: how many writes can be in flight.
  ///   - buffers: the buffers that will be written from.
  ///   - registersBuffers: whether the kernel pins a buffer once, when it is first written from, rather
  ///     than for each write.
  ///   - cpus: the CPUs that the thread stays on; nil for wherever the kernel likes.
  ///   - onFallback: told when the kernel refuses to register buffers; writes then go without.
  /// - Throws: `Unavailable`.
  public init(
    name: String, depth: Int, buffers: BufferRing, registersBuffers: Bool = true, cpus: [UInt32]? = nil,
    onFallback: @escaping @Sendable (SystemErrno) -> Void = { _ in }
  ) throws(Unavailable) {
    thread = NamedThread(name: name, cpus: cpus)
    self.buffers = buffers
    self.registersBuffers = registersBuffers
    self.onFallback = onFallback
    event = sluice_eventfd()
    guard event >= 0 else { throw Unavailable(errno: SystemErrno(code: -event)) }
    do throws(NoThread) { try thread.start { [self] in run(depth: depth) } } catch {
      throw Unavailable(errno: error.errno)
    }
    let setUp = state.waitWithLock { $0.setUp }
    if case .failure(let unavailable) = setUp {
      thread.join()
      throw unavailable
    }
    guard registersBuffers else { return }
    buffers.setEmptyingHandler { [weak self] index, then in
      // Without the executor nothing is registered any more.
      guard let self,
        perform({ [self] in
          unregister(index); then()
        })
      else { return then() }
    }
  }

  deinit {
    if event >= 0 { _ = sluice_close(event) }
  }

  /// The thread's name.
  public var name: String { thread.name }
  /// What this engine is called.
  public var kind: String { "io_uring" }
  /// For actors that run here, and for their tasks.
  public var executor: any SerialExecutor & TaskExecutor { self }

  // MARK: Jobs

  /// Hands a job to the thread. The runtime calls this.
  public func enqueue(_ job: consuming ExecutorJob) {
    let job = UnownedJob(job)
    wake { state in
      precondition(
        !state.isShutDown, "the executor \(name) was shut down while an actor or task still uses it")
      state.jobs.append(job)
    }
  }

  /// Ends the thread once it has run what was enqueued, and waits for it. Every write must have completed,
  /// every actor and task that runs here have ended; the caller must be on another thread.
  public func shutdown() {
    wake { $0.isShutDown = true }
    thread.join()
  }

  /// Has the thread run a closure.
  ///
  /// - Returns: false where the executor was shut down, and nothing runs there any more.
  private func perform(_ errand: @escaping @Sendable () -> Void) -> Bool {
    wake { state in
      guard !state.isShutDown else { return false }
      state.errands.append(errand)
      return true
    }
  }

  @discardableResult
  private func wake<Result>(after change: (inout State) -> Result) -> Result {
    state.withLock { state in
      let changed = change(&state)
      defer { wakeThread(&state) }
      return changed
    }
  }

  /// Under the lock, and nothing after it: once that is open, the job may run to its end, and the executor go with it. The
  /// runtime holds no reference to the executor that it enqueues on.
  private func wakeThread(_ state: inout State) {
    if state.isBroken { self.state.signal() }
    guard state.isSleeping else { return }
    state.isSleeping = false
    let result = sluice_eventfd_signal(event)
    precondition(result == 0, "an eventfd takes every signal that it is given")
  }

  /// Traps when the caller is on another thread. The runtime calls this.
  public func checkIsolated() {
    precondition(thread.isCurrent, "this must run on the thread \(name)")
  }

  /// Whether the caller is on this thread. The runtime calls this.
  public func isIsolatingCurrentContext() -> Bool? {
    thread.isCurrent
  }

  // MARK: Writes

  /// Says who is told of completions.
  public func setCompletionHandler(_ handler: @escaping @Sendable (WriteCompletion) -> Void) {
    checkIsolated()
    unsafe confined.handler = handler
  }

  /// Starts a write; it is submitted with whatever else is started before the thread has nothing left to do.
  public func start(_ request: WriteRequest) {
    checkIsolated()
    unsafe confined.inFlight.append(UInt64(request.token))
    let registered = register(request.bufferIndex) ? Int32(request.bufferIndex) : -1
    while let ring = unsafe confined.ring {
      let result = unsafe sluice_ring_write(
        ring, request.descriptor, request.bytes.baseAddress, UInt32(request.bytes.count),
        request.offset, registered, UInt64(request.token))
      if result == 0 { break }
      submit(andWait: false)
    }
  }

  /// Registers a buffer when it is first written from, so that one that is never used is never touched.
  private func register(_ index: Int) -> Bool {
    guard let ring = unsafe confined.ring, let isRegistered = unsafe confined.registered?[index] else {
      return false
    }
    if isRegistered { return true }
    let bytes = unsafe buffers.bytes(at: index)
    let result = unsafe sluice_ring_register_buffer(
      ring, UInt32(index), bytes.baseAddress, bytes.count)
    guard result == 0 else {
      // Those that are registered stay so; the kernel takes their writes either way.
      unsafe confined.registered = nil
      onFallback(SystemErrno(code: -result))
      return false
    }
    unsafe confined.registered?[index] = true
    return true
  }

  private func unregister(_ index: Int) {
    guard let ring = unsafe confined.ring, unsafe confined.registered?[index] == true else { return }
    unsafe sluice_ring_unregister_buffer(ring, UInt32(index))
    unsafe confined.registered?[index] = false
  }

  private func submit(andWait wait: Bool) {
    guard let ring = unsafe confined.ring else {
      if wait { state.waitWithLock { $0.isIdle && !$0.isShutDown ? nil : () } }
      return
    }
    let result = unsafe sluice_ring_submit(ring, wait ? 1 : 0)
    if result != 0 { breakDown(SystemErrno(code: -result)) }
  }

  /// Gives the ring up, which the kernel takes no orders through any more. Writes that have not completed have failed then,
  /// and so do all that are started: `takeCompletions` tells. What the kernel was given before it may yet write; no file
  /// of a failed write is ever used.
  private func breakDown(_ errno: SystemErrno) {
    unsafe sluice_ring_close(confined.ring)
    unsafe confined.ring = nil
    unsafe confined.breakdown = errno
    state.withLock { $0.isBroken = true }
  }

  // MARK: The thread

  private func run(depth: Int) {
    guard setUp(depth: depth) else { return }
    var batch: [UnownedJob] = []
    while true {
      let (errands, isShutDown) = state.withLock { state in
        swap(&state.jobs, &batch)
        defer { state.errands.removeAll() }
        return (state.errands, state.isShutDown)
      }
      for errand in errands { errand() }
      for job in batch {
        unsafe job.runSynchronously(
          isolatedTo: asUnownedSerialExecutor(), taskExecutor: asUnownedTaskExecutor())
      }
      let ranSomething = !batch.isEmpty || !errands.isEmpty
      batch.removeAll(keepingCapacity: true)
      if ranSomething {
        // What the jobs have started goes to the kernel before they are asked for more.
        submit(andWait: false)
        takeCompletions()
        continue
      }
      if isShutDown { break }
      let mustSleep = state.withLock { state in
        state.isSleeping = state.isIdle && !state.isShutDown
        return state.isSleeping
      }
      submit(andWait: mustSleep)
      state.withLock { $0.isSleeping = false }
      takeCompletions()
    }
    unsafe precondition(
      confined.inFlight.isEmpty, "the executor \(name) was shut down while writes are in flight")
    if let ring = unsafe confined.ring { unsafe sluice_ring_close(ring) }
    unsafe confined.ring = nil
  }

  private func setUp(depth: Int) -> Bool {
    var error: Int32 = 0
    // One more than there are writes, for the eventfd.
    unsafe confined.ring = sluice_ring_open(UInt32(depth + 1), &error)
    if unsafe confined.ring == nil {
      state.withLock { $0.setUp = .failure(Unavailable(errno: SystemErrno(code: error))) }
      state.signal()
      return false
    }
    if registersBuffers {
      let result = unsafe sluice_ring_reserve_buffers(confined.ring, UInt32(buffers.layout.count))
      if result == 0 {
        unsafe confined.registered = Array(repeating: false, count: buffers.layout.count)
      } else {
        onFallback(SystemErrno(code: -result))
      }
    }
    armWakeUp()
    state.withLock { $0.setUp = .success(()) }
    state.signal()
    return true
  }

  private func armWakeUp() {
    while let ring = unsafe confined.ring,
      unsafe sluice_ring_await_event(ring, event, Self.wakeToken) != 0
    {
      submit(andWait: false)
    }
  }

  private func takeCompletions() {
    var completion = sluice_completion()
    while let ring = unsafe confined.ring, unsafe sluice_ring_next_completion(ring, &completion) == 1 {
      if completion.token == Self.wakeToken {
        armWakeUp()
        continue
      }
      complete(completion.token, result: Int(completion.result))
    }
    guard let breakdown = unsafe confined.breakdown else { return }
    while let token = unsafe confined.inFlight.first { complete(token, result: -Int(breakdown.code)) }
  }

  private func complete(_ token: UInt64, result: Int) {
    unsafe confined.inFlight.removeAll { $0 == token }
    unsafe confined.handler?(WriteCompletion(token: Int(token), result: result))
  }
}
