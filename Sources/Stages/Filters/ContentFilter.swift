internal import CSluiceLinux
internal import SluiceImages
internal import SluicePipeline

/// Leaves to the parent the pages that are as the last round found them, and notes what they are now for the next.
actor ContentFilter: PageFilter {
  private nonisolated let executor: ThreadExecutor
  private let round: ContentRound
  private let sink: ImagesDirectorySink
  private let pageSize: Int
  /// That of the process that is being written; nil between two processes.
  private var comparison: PageComparison?

  nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe executor.asUnownedSerialExecutor() }

  /// - Parameter executor: the thread of the filter's stage.
  init(_ round: ContentRound, into sink: ImagesDirectorySink, pageSize: Int, executor: ThreadExecutor) {
    self.round = round
    self.sink = sink
    self.pageSize = pageSize
    self.executor = executor
  }

  func begin(_ owner: PageOwner) async throws(SluiceError) {
    guard let known = round.known(of: owner) else { return }
    let file = try await sink.createHashes(of: owner)
    let last = try round.lastPages(of: known)
    do throws(ImagesError) {
      comparison = PageComparison(
        last: last, hashes: try PageHashWriter(file: file, head: known.head), pageSize: UInt64(pageSize),
        pid: known.pid, logger: round.logger)
    } catch {
      throw SluiceError(error)
    }
  }

  func change(_ chunk: inout PageChunk) throws(SluiceError) -> Int {
    do throws(ImagesError) {
      return try comparison?.sort(&chunk, pageSize: pageSize) ?? 0
    } catch {
      throw SluiceError(error)
    }
  }

  func end(_ owner: PageOwner, failure: SluiceError?) throws(SluiceError) {
    if failure == nil {
      do throws(ImagesError) { try comparison?.finish() } catch { throw SluiceError(error) }
    }
    comparison = nil
  }

  func abort() { comparison = nil }
}
