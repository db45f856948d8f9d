internal import CSluiceLinux

/// Writes buffers to files through an engine, so many at a time, and gives each back to its ring when
/// the kernel has done with it.
///
/// Used from the engine's executor alone, by the actor that runs there.
public final class WriteQueue: @unchecked Sendable {
  /// A write failed for good.
  public struct Failed: Error {
    /// The kernel's reason.
    public let errno: Int32
  }

  /// A part of a buffer that is to be written.
  public struct Part: Hashable, Sendable {
    /// Where it begins in the buffer, in bytes.
    public var position: Int
    /// Its length in bytes.
    public var count: Int

    /// A part of so many bytes from `position` on.
    public init(position: Int, count: Int) {
      self.position = position
      self.count = count
    }
  }

  /// A part of a buffer that is to be written to a place of its own.
  public struct PlacedPart: Hashable, Sendable {
    /// Where it begins in the buffer, in bytes.
    public var position: Int
    /// Its length in bytes.
    public var count: Int
    /// Where in the file it belongs, in bytes.
    public var fileOffset: UInt64

    /// A part of so many bytes from `position` on.
    public init(position: Int, count: Int, fileOffset: UInt64) {
      self.position = position
      self.count = count
      self.fileOffset = fileOffset
    }
  }

  /// Where the bytes of a write in flight are.
  @safe
  private struct Source {
    let descriptor: Int32
    let bytes: UnsafeMutableRawBufferPointer
    let bufferIndex: Int
  }

  private let engine: any WriteEngine
  private var window: WriteWindow<PageBuffer>
  private var sources: [Source?]
  private var failure: Failed?
  private var waiter: SuspendedTask<Void>?
  /// How many writes have ended, so that one which ends while the actor is about to wait is not missed.
  private var completions: UInt64 = 0

  /// How long writing waited because as many writes were in flight as may be.
  public private(set) var full = StageWait()

  /// - Parameters:
  ///   - engine: what does the writes. Its completions come here from now on.
  ///   - depth: the most writes in flight.
  ///   - pageSize: in bytes.
  public init(engine: any WriteEngine, depth: Int, pageSize: Int) {
    self.engine = engine
    window = WriteWindow(depth: depth, pageSize: pageSize)
    sources = Array(repeating: nil, count: depth)
    engine.setCompletionHandler { [weak self] in self?.completed($0) }
  }

  deinit {
    precondition(
      window.inFlight == 0, "a queue is drained before it goes: the kernel still reads its buffers")
  }

  /// Writes parts of a buffer, waiting only where too many writes are in flight already.
  ///
  /// - Parameters:
  ///   - buffer: goes back to its ring once all of its parts are written.
  ///   - parts: what is to be written of it.
  ///   - fileOffset: where in the file the first byte of the buffer belongs.
  /// - Throws: `Failed`, for this or any earlier write.
  public func write(
    _ buffer: consuming PageBuffer, parts: [Part], to descriptor: Int32, at fileOffset: UInt64
  ) async throws(Failed) {
    let placed = parts.map {
      PlacedPart(position: $0.position, count: $0.count, fileOffset: fileOffset + UInt64($0.position))
    }
    try await write(buffer, placed: placed, to: descriptor)
  }

  /// The same for parts each of which has a place of its own in the file.
  ///
  /// - Throws: `Failed`, for this or any earlier write.
  public func write(
    _ buffer: consuming PageBuffer, placed parts: [PlacedPart], to descriptor: Int32
  ) async throws(Failed) {
    let source = unsafe Source(descriptor: descriptor, bytes: buffer.bytes, bufferIndex: buffer.index)
    let item = window.open(buffer)
    for part in parts {
      if !window.hasRoom { await waitForRoom(for: part.count) }
      if failure != nil { break }
      let number = window.start(
        item: item, position: part.position, count: part.count, fileOffset: part.fileOffset)
      sources[number] = source
      start(number)
    }
    window.close(item: item)
    if let failure { throw failure }
  }

  /// Waits until nothing is in flight; all buffers are home then.
  ///
  /// - Throws: `Failed`, for any write.
  public func drain() async throws(Failed) {
    while window.inFlight > 0 { await waitForCompletion(after: completions, isolation: #isolation) }
    if let failure { throw failure }
  }

  /// Everything below this offset is written, if all of it was started; nil when nothing is in flight.
  public var lowestFileOffsetInFlight: UInt64? { window.lowestFileOffset }

  private func start(_ number: Int) {
    guard let source = sources[number] else { preconditionFailure("write \(number) has no source") }
    let rest = window.remainder(of: number)
    let range = rest.position..<rest.position + rest.count
    let request = unsafe WriteRequest(
      descriptor: source.descriptor, bytes: UnsafeRawBufferPointer(rebasing: source.bytes[range]),
      offset: rest.fileOffset, bufferIndex: source.bufferIndex, token: number)
    engine.start(request)
  }

  private func completed(_ completion: WriteCompletion) {
    switch window.complete(completion.token, result: completion.result) {
    case .again:
      start(completion.token)
      return
    case .done:
      break
    case .failed(let errno):
      if failure == nil { failure = Failed(errno: errno) }
    }
    completions += 1
    waiter.take()?.resume(returning: ())
  }

  private func waitForRoom(for count: Int) async {
    let began = sluice_monotonic_nanoseconds()
    while !window.hasRoom { await waitForCompletion(after: completions, isolation: #isolation) }
    full.add(since: began, bytes: count)
  }

  /// Waits until more writes have ended than had when the caller looked.
  ///
  /// A suspending call may give the thread to others before it suspends, and a completion can come then.
  private func waitForCompletion(after seen: UInt64, isolation: isolated (any Actor)?) async {
    await SuspendedTask<Void>.suspend(isolation: isolation) { task in
      if completions == seen {
        waiter = task
      } else {
        task.resume(returning: ())
      }
    }
  }
}
