internal import SluicePipeline

/// The threads of a run's stages, but for the one that writes.
struct StageThreads: Sendable {
  let starter: ThreadExecutor
  let walker: ThreadExecutor
  let readers: [ThreadExecutor]

  /// Starts them, or none.
  ///
  /// - Throws: `SluiceError` with `system`.
  init(readers count: Int) throws(SluiceError) {
    var made: [ThreadExecutor] = []
    do throws(SluiceError) {
      made.append(try Self.make("sluice-start"))
      made.append(try Self.make("sluice-walker"))
      for number in 0..<count { made.append(try Self.make("sluice-read-\(number)")) }
    } catch {
      for thread in made { thread.shutdown() }
      throw error
    }
    (starter, walker, readers) = (made[0], made[1], Array(made[2...]))
  }

  /// Ends them; every task and actor that runs there has ended.
  func shutdown() {
    starter.shutdown()
    walker.shutdown()
    for thread in readers { thread.shutdown() }
  }

  /// Starts a thread.
  ///
  /// - Throws: `SluiceError` with `system`.
  static func make(_ name: String) throws(SluiceError) -> ThreadExecutor {
    do throws(NoThread) { return try ThreadExecutor(name: name) } catch { throw SluiceError(error) }
  }
}
