internal import SluicePipeline

/// What all stages have counted when they ended well.
struct StageCounts: Sendable {
  var walker = MemoryWalker.Result(tasks: [])
  /// Of all of them together.
  var readers = PageReader.Counts()
  var writer = ImageWriter.Result(tasks: [])

  /// The sums over those tasks that have images.
  func total(of tasks: [DumpedProcess]) -> (walker: MemoryWalker.Counts, writer: ImageWriter.Counts) {
    var total = (walker: MemoryWalker.Counts(), writer: ImageWriter.Counts())
    for task in tasks where !task.hasFailed {
      total.walker += walker.tasks[task.index]
      total.writer += writer.tasks[task.index]
    }
    return total
  }
}

/// Runs the stages side by side until all have ended.
struct Stages: Sendable {
  let walker: MemoryWalker
  let readers: [PageReader]
  let writer: ImageWriter
  let plans: PlanChannel
  let chunks: ChunkChannel
  let progress: ProgressFeed
  /// Holds the processes still in a last round: it lets go of them as soon as all is read, or something fails.
  let starter: RoundPreparer
  let tasks: [DumpedProcess]
  /// Is told of the first error when the processes run again: the stages may be in the kernel for long.
  let failed: @Sendable (SluiceError) -> Void

  private enum End: Sendable {
    case walker(Result<MemoryWalker.Result, SluiceError>)
    case reader(Result<PageReader.Counts, SluiceError>)
    case writer(Result<ImageWriter.Result, SluiceError>)
    case progress
    case overdue(SluiceError?)
  }

  /// - Throws: the first error of a stage. The others are stopped by it: their channels fail and their tasks
  ///   are cancelled, so that none waits for one that has ended.
  func run() async throws(SluiceError) -> StageCounts {
    var counts = StageCounts()
    var failure: SluiceError?
    var readersLeft = readers.count
    await withTaskGroup(of: End.self) { group in
      // Each task prefers its stage's own thread: a continuation resumes on the preferred executor first (Swift
      // 6.3), and every wait of a stage would go through another thread.
      group.addTask(executorPreference: walker.taskExecutor) {
        .walker(await result { () async throws(SluiceError) in try await walker.run() })
      }
      for reader in readers {
        group.addTask {
          .reader(await result { () async throws(SluiceError) in try await reader.runUnlessStuck() })
        }
      }
      group.addTask(executorPreference: writer.taskExecutor) {
        .writer(await result { () async throws(SluiceError) in try await writer.run() })
      }
      group.addTask {
        await publishProgress()
        return .progress
      }
      group.addTask { .overdue(await starter.waitUntilOverdue()) }
      for await end in group {
        do throws(SluiceError) {
          switch end {
          case .walker(let result): counts.walker = try result.get()
          case .reader(let result):
            counts.readers += try result.get()
            readersLeft -= 1
            guard readersLeft == 0 else { continue }
            try await starter.readingEnds(tasks)
            chunks.finish()
          case .writer(let result):
            counts.writer = try result.get()
            // All others have ended; only the progress still runs.
            group.cancelAll()
          // It ends with the writer, or when our own task is cancelled: and then the processes run before anything else
          // comes to its end.
          case .progress: if Task.isCancelled { await starter.resume() }
          case .overdue(let error): if let error { throw error }
          }
        } catch {
          await starter.resume()
          if failure == nil {
            failure = error
            failed(error)
            plans.fail(error)
            chunks.fail(error)
            group.cancelAll()
          }
        }
      }
    }
    if let failure { throw failure }
    return counts
  }
}

extension Stages {
  /// How often the progress is passed on: often enough to look alive, too seldom to cost anything.
  private static let progressInterval = Duration.milliseconds(100)

  /// Passes the progress on until the task is cancelled.
  private func publishProgress() async {
    while !Task.isCancelled {
      progress.publish()
      // An early end of the sleep is the cancellation that the loop looks for.
      try? await Task.sleep(for: Self.progressInterval)
    }
    progress.publish()
  }
}

private func result<Success: Sendable>(
  of body: () async throws(SluiceError) -> Success
) async -> Result<Success, SluiceError> {
  do throws(SluiceError) { return .success(try await body()) } catch { return .failure(error) }
}
