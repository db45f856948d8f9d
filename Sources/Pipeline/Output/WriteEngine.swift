/// A write that an engine is to do.
@safe
public struct WriteRequest: @unchecked Sendable {
  /// The file.
  public let descriptor: Int32
  /// What is to be written. The engine's user keeps it as it is until the completion.
  public let bytes: UnsafeRawBufferPointer
  /// Where in the file, in bytes.
  public let offset: UInt64
  /// The ring's buffer that the bytes are in.
  public let bufferIndex: Int
  /// Says which write it was when it completes.
  public let token: Int
}

/// What became of a write.
public struct WriteCompletion: Hashable, Sendable {
  /// The request's.
  public let token: Int
  /// Bytes written, or -errno.
  public let result: Int
}

extension WriteEngine {
  /// For actors that run on the engine's executor.
  public var unownedExecutor: UnownedSerialExecutor { unsafe executor.asUnownedSerialExecutor() }
}

/// Does writes without waiting for them, on an executor of its own: the actor that runs there starts
/// writes and is told on the same thread when they have completed, so that neither needs a lock.
public protocol WriteEngine: Sendable {
  /// What the writing actor runs on, and the task that its work is in.
  var executor: any SerialExecutor & TaskExecutor { get }

  /// Its name, as it is shown to people.
  var kind: String { get }

  /// Says who is told of completions. Before the first write, on the engine's executor.
  func setCompletionHandler(_ handler: @escaping @Sendable (WriteCompletion) -> Void)

  /// Starts a write. On the engine's executor.
  func start(_ request: WriteRequest)

  /// Ends the engine's threads. Every write must have completed; the caller must be on another thread.
  func shutdown()
}
