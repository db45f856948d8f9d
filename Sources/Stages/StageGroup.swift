internal import SluicePipeline

/// What all stages have counted when they ended well.
struct StageCounts: Sendable {
  var walker = MemoryWalker.Counts()
  var reader = PageReader.Counts()
  var writer = ImageWriter.Counts()
}

/// Runs the stages side by side until all have ended.
struct Stages: Sendable {
  let walker: MemoryWalker
  let reader: PageReader
  let writer: ImageWriter
  let plans: PlanChannel
  let chunks: ChunkChannel

  private enum End: Sendable {
    case walker(Result<MemoryWalker.Counts, PreDumpError>)
    case reader(Result<PageReader.Counts, PreDumpError>)
    case writer(Result<ImageWriter.Counts, PreDumpError>)
  }

  /// - Throws: the first error of a stage. The others are stopped by it: their channels fail and their tasks
  ///   are cancelled, so that none waits for one that has ended.
  func run() async throws(PreDumpError) -> StageCounts {
    var counts = StageCounts()
    var failure: PreDumpError?
    await withTaskGroup(of: End.self) { group in
      group.addTask { .walker(await result { () async throws(PreDumpError) in try await walker.run() }) }
      group.addTask { .reader(await result { () async throws(PreDumpError) in try await reader.run() }) }
      group.addTask { .writer(await result { () async throws(PreDumpError) in try await writer.run() }) }
      for await end in group {
        do throws(PreDumpError) {
          switch end {
          case .walker(let result): counts.walker = try result.get()
          case .reader(let result):
            counts.reader = try result.get()
            chunks.finish()
          case .writer(let result): counts.writer = try result.get()
          }
        } catch {
          if failure == nil {
            failure = error
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

private func result<Success: Sendable>(
  of body: () async throws(PreDumpError) -> Success
) async -> Result<Success, PreDumpError> {
  do throws(PreDumpError) { return .success(try await body()) } catch { return .failure(error) }
}
