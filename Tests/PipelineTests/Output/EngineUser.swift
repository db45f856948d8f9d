import CSluiceLinux

@testable import SluicePipeline

/// The real engines, in the ways that they are made.
enum EngineKind: String, CaseIterable, Codable {
  case ring
  case ringWithoutRegistration
  case threads

  func makeEngine(depth: Int, ring buffers: BufferRing) throws -> any WriteEngine {
    switch self {
    case .ring: try RingExecutor(name: "test-ring", depth: depth, buffers: buffers)
    case .ringWithoutRegistration:
      try RingExecutor(name: "test-ring", depth: depth, buffers: buffers, registersBuffers: false)
    case .threads: makeThreadEngine(name: "test-pwrite", workers: depth)
    }
  }
}

/// An actor on an engine's thread, as the writer of a pipeline is, that tells what becomes of each write.
actor EngineUser {
  private nonisolated let engine: any WriteEngine
  private let ring: BufferRing
  private var lastToken = 0
  private var waiting: [Int: CheckedContinuation<Int, Never>] = [:]
  /// Where completions came, and how many.
  private(set) var completions: [String: Int] = [:]

  nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe engine.unownedExecutor }

  /// - Parameter ring: has a buffer for each write that is to be in flight at the same time.
  init(of engine: any WriteEngine, ring: BufferRing) {
    self.engine = engine
    self.ring = ring
  }

  /// Says that completions are to come here. Before the first write.
  func listen() {
    engine.setCompletionHandler { [weak self] completion in
      self?.assumeIsolated { $0.completed(completion) }
    }
  }

  /// Writes a whole buffer that is filled with one byte.
  ///
  /// - Returns: the bytes written, or -errno.
  func write(_ byte: UInt8, to descriptor: Int32, at offset: UInt64) async -> Int {
    guard let buffer = await ring.take() else { preconditionFailure("these tests do not cancel") }
    unsafe buffer.bytes.initializeMemory(as: UInt8.self, repeating: byte)
    lastToken += 1
    let token = lastToken
    let result = await withCheckedContinuation { continuation in
      waiting[token] = continuation
      engine.start(
        unsafe WriteRequest(
          descriptor: descriptor, bytes: UnsafeRawBufferPointer(buffer.bytes), offset: offset,
          bufferIndex: buffer.index, token: token))
    }
    extendLifetime(buffer)
    return result
  }

  private func completed(_ completion: WriteCompletion) {
    completions[Kernel.threadName, default: 0] += 1
    guard let writer = waiting.removeValue(forKey: completion.token) else {
      preconditionFailure("write \(completion.token) was never started, or has completed before")
    }
    writer.resume(returning: completion.result)
  }

  // MARK: What runs on its thread

  func threadName() -> String { Kernel.threadName }
  func threadID() -> Int { Kernel.threadID }
  func perform<Result: Sendable>(_ body: @Sendable () -> Result) -> Result { body() }
}
