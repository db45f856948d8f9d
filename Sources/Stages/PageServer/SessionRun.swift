internal import CSluiceLinux
internal import Logging
internal import SluiceImages
internal import SluicePipeline
internal import SluiceSystem
internal import SluiceWire

/// One session of a page server: takes the pages that a client sends, and makes them valid when all have come.
struct SessionRun: Sendable {
  let configuration: PageServer.Configuration
  let session: ReceivingSession
  let runtime: SluiceRuntime
  /// The session, as it is told to the observer; nil where there is none.
  let observation: Observation?
  /// Decides where the pages go, and what they build on, when it is known whose they are.
  let place: @Sendable (PageServerObject) throws(SluiceError) -> Place
  /// Is told where the pages are, once they are valid, and before the client is: its next session may come at once.
  let published: @Sendable (Place) -> Void

  /// Where pages go.
  struct Place: Sendable {
    let directory: String
    let parent: SessionParent
  }

  /// Runs to the end, on the thread of the caller.
  ///
  /// - Parameter report: is told what comes of it, also where it fails.
  /// - Throws: `SluiceError`; nothing is kept then.
  func run(_ report: inout SessionReport) async throws(SluiceError) {
    defer {
      report.bytes = session.byteCount
      report.headerBytes = session.headerBytes
    }
    var place: Place?
    func placed(for object: PageServerObject) throws(SluiceError) -> Place {
      if let place { return place }
      let made = try self.place(object)
      place = made
      return made
    }
    while true {
      switch try session.next() {
      case .hasParent(let object):
        let parent = try placed(for: object).parent.images(having: object)
        try session.answer(hasParent: try session.has(object, in: parent))
      case .open(let object, let isAnswered):
        let place = try placed(for: object)
        let parent = try place.parent.images(having: object)
        let images = try onImages { () throws(ImagesError) in
          try UnfinishedImages.create(forSessionAt: place.directory, parent: parent)
        }
        if isAnswered { try session.answer(toOpen: try session.has(object, in: parent)) }
        try await receive(first: object, into: ImagesTarget(images), at: place, &report)
        return
      case .close(let isForced):
        // There was nothing to send.
        try session.answerToClose()
        try waitForClient(isForced: isForced)
        return
      case .pages: preconditionFailure("pages come of an object that is open")
      }
    }
  }

  /// Writes in flight.
  private static let queueDepth = 8

  private func receive(
    first: PageServerObject, into target: consuming sending ImagesTarget, at place: Place,
    _ report: inout SessionReport
  ) async throws(SluiceError) {
    let limits = target.limits
    let lease = try await runtime.acquire(
      RuntimeNeeds(
        shares: [
          .init(purpose: "pagemap records", byteCount: PagemapImageWriter.bufferBytes),
          .init(
            purpose: "the parent's pagemap", byteCount: PagemapImageReader.bufferBytes),
        ], limits: limits, readers: 1, queueDepth: Self.queueDepth, writeEngine: .automatic,
        registersBuffers: true, logger: configuration.logger))
    let pageSize = lease.ring.layout.pageSize
    observation?.tell(lease)
    defer { observation?.tellReleased() }
    let sink = ImagesDirectorySink(
      target,
      options: ImagesDirectorySink.Options(
        queueDepth: Self.queueDepth, pageSize: pageSize, io: configuration.io,
        syncs: configuration.syncs, logger: configuration.logger,
        firstPagesID: ImageNames.firstPagesIDOfSessions),
      engine: lease.engine)
    let source = SessionSource(session, first: first, parent: place.parent)
    do throws(SluiceError) {
      let counts = try await Stages(
        from: source, to: sink, by: lease, isTimed: observation != nil, progress: ProgressFeed(),
        observer: NoObserver()
      ).run()
      guard !Task.isCancelled else { throw .cancelled }
      let total = counts.sink.owners.values.reduce(into: SinkStage.Counts()) { $0 += $1 }
      let received = source.received
      try await embedders {
        try await sink.commit(
          RunManifest(
            entries: counts.sink.order.map { owner in
              RunManifest.Entry(
                owner: owner, pagesWritten: counts.sink.owners[owner]?.pagesWritten ?? 0, failure: nil)
            },
            pageSize: pageSize,
            images: .session(
              SessionMark(pagemapCount: received.objects, pageCount: total.pagesWritten),
              parent: place.parent.images)))
      }
      report.directory = place.directory
      report.parentDirectory = place.parent.images?.path
      report.pagemaps = received.objects
      report.parentPages = received.parentPages
      report.pages = total.pagesWritten
      report.zeroPages = total.zeroPages
      observation?.tell(counts.sink.durations, .write)
      observation?.tell(total.pagesWritten, .copied)
      observation?.tell(total.zeroPages, .zero)
      observation?.tell(received.parentPages, .parent)
    } catch {
      await sink.abort()
      await runtime.release(lease, isReusable: false)
      throw error
    }
    await runtime.release(lease, isReusable: true)
    published(place)
    // The pages are where they belong, whatever becomes of the client from now on.
    do throws(SluiceError) {
      try session.answerToClose()
      try waitForClient(isForced: source.isForced)
    } catch {
      configuration.logger.warning("the pages in \(place.directory) are complete, but \(error)")
    }
  }

  /// Waits until the client has closed the connection: whoever closes first has the connection's port taken for a while.
  private func waitForClient(isForced: Bool) throws(SluiceError) {
    guard !isForced else { return }
    do throws(SocketError) {
      guard !session.connection.isSecured else { return try session.connection.finish() }
      guard try session.connection.receive(count: 1) != nil else { return }
    } catch {
      throw SluiceError(error)
    }
    throw SluiceError(
      .malformedImages, "\(session.connection.peer) sends more after it has ended the session")
  }
}
