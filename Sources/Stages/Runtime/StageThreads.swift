internal import CSluiceLinux
internal import Glibc
internal import SluicePipeline
internal import SluiceTarget

/// A thread that reads.
struct ReaderThread: Sendable {
  let executor: ThreadExecutor
  /// Its place in the placement; 0 where there is none.
  let place: Int
}

/// The threads of a run's stages, but for the one that writes.
struct StageThreads: Sendable {
  let starter: ThreadExecutor
  let walker: ThreadExecutor
  let readers: [ReaderThread]

  /// Starts them, or none.
  ///
  /// - Parameter placement: which nodes the readers are on; nil where they are on any.
  /// - Throws: `SluiceError` with `system`.
  init(readers count: Int, on placement: Placement? = nil) throws(SluiceError) {
    let homes: [(place: Int, processors: [UInt32]?)] =
      placement.map { placement in
        placement.places.enumerated().flatMap { index, place in
          Array(repeating: (index, place.processors), count: place.readers)
        }
      } ?? Array(repeating: (0, nil), count: count)
    var made: [ThreadExecutor] = []
    do throws(SluiceError) {
      made.append(try Self.make("sluice-start"))
      made.append(try Self.make("sluice-walker"))
      for (number, home) in homes.enumerated() {
        made.append(try Self.make("sluice-read-\(number)", on: home.processors))
      }
    } catch {
      for thread in made { thread.shutdown() }
      throw error
    }
    (starter, walker) = (made[0], made[1])
    readers = zip(made[2...], homes).map { ReaderThread(executor: $0, place: $1.place) }
  }

  /// Ends them; every task and actor that runs there has ended.
  func shutdown() {
    starter.shutdown()
    walker.shutdown()
    for reader in readers { reader.executor.shutdown() }
  }

  /// Starts a thread.
  ///
  /// - Parameter processors: those that it stays on; nil where the kernel chooses.
  /// - Throws: `SluiceError` with `system`.
  static func make(_ name: String, on processors: [UInt32]? = nil) throws(SluiceError) -> ThreadExecutor {
    try checkAddresses()
    do throws(NoThread) { return try ThreadExecutor(name: name, cpus: processors) } catch {
      throw SluiceError(error)
    }
  }

  /// The addresses that the C library takes for a thread: its stack, as a rule, and a heap of its own.
  private static let addressesOfThread = (8 + 64) << 20
  /// What is left for everything else.
  private static let addressesForAllElse = 32 << 20

  /// Makes sure that a limit on the program's address space leaves enough: Swift ends a program that gets no memory, wherever
  /// it happens to be.
  ///
  /// - Parameters:
  ///   - bufferBytes: what is to be mapped.
  ///   - threads: how many are to be started.
  /// - Throws: `SluiceError` with `system`.
  static func checkAddresses(for bufferBytes: Int = 0, threads: Int = 1) throws(SluiceError) {
    guard let left = OwnMemory.addressesLeft else { return }
    let needed = UInt64(bufferBytes + threads * addressesOfThread + addressesForAllElse)
    guard left < needed else { return }
    throw SluiceError(
      .system,
      "buffers and threads may take \(needed >> 20) MiB of addresses, and the limit on this program's address space (ulimit -v) leaves \(left >> 20) MiB (ENOMEM); raise it, or try a smaller memory budget",
      errno: SystemErrno(code: ENOMEM))
  }
}
