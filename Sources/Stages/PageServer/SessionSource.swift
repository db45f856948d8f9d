internal import CSluiceLinux
internal import SluiceImages
internal import SluicePipeline
internal import SluiceSystem
internal import SluiceWire

/// The pages that a client sends in a session, as they come.
///
/// The walk itself receives them, straight into the buffers: where no buffer is free nothing is received, and the client is
/// held up by its connection. So memory stays within the budget, whatever the client does.
final class SessionSource: FillingSource {
  private let session: ReceivingSession
  private let first: PageServerObject
  private let parent: SessionParent
  private let counts = Locked(Counts())

  /// What was received.
  struct Counts: Sendable {
    var objects: UInt64 = 0
    var parentPages: UInt64 = 0
    /// Whether the client keeps the connection.
    var isForced = false
  }

  /// - Parameters:
  ///   - first: the object that the client has opened.
  ///   - parent: the images that these build on.
  init(_ session: ReceivingSession, first: PageServerObject, parent: SessionParent) {
    self.session = session
    self.first = first
    self.parent = parent
  }

  /// What was received so far.
  var received: Counts { counts.withLock { $0 } }

  /// Whether the client keeps the connection, once the walk has ended.
  var isForced: Bool { received.isForced }

  func makeReader() -> any PageSourceReader { NothingToRead() }

  func walk(_ plans: inout PlanWriter) async throws {
    try await withTaskCancellationHandler(
      operation: { [session] in
        do throws(SluiceError) { try await receiveAll(&plans) } catch {
          // Whoever has ended the connection has a reason for it.
          guard !session.connection.wasInterrupted else { throw SluiceError.cancelled }
          throw error
        }
      },
      onCancel: { [session] in session.connection.interrupt() })
  }

  private func receiveAll(_ plans: inout PlanWriter) async throws(SluiceError) {
    var object = first
    var owner = try await begin(object, &plans)
    var coverage = try coverage(of: object)
    let pageSize = UInt64(plans.pageSize)
    while true {
      switch try session.next() {
      case .hasParent(let asked):
        try session.answer(hasParent: try session.has(asked, in: try parent.images(having: asked)))
      case .open(let opened, let isAnswered):
        try await plans.end(owner)
        object = opened
        owner = try await begin(object, &plans)
        coverage = try self.coverage(of: object)
        if isAnswered { try session.answer(toOpen: try session.has(object, in: parent.images)) }
      case .pages(let address, let byteCount, let flags, let isData):
        let run = PageRun(address: address, byteCount: byteCount)
        if isData {
          try await plans.fill(run, isLazy: flags & PageServerFlags.lazy != 0) {
            (room: inout MutableRawSpan) throws(SluiceError) in try session.receive(&room)
          }
          continue
        }
        try check(run, of: object, isIn: &coverage)
        counts.withLock { $0.parentPages += byteCount / pageSize }
        try await plans.leaveToParent(run)
      case .close(let isForced):
        counts.withLock { $0.isForced = isForced }
        try await plans.end(owner)
        return
      }
    }
  }

  private func begin(
    _ object: PageServerObject, _ plans: inout PlanWriter
  ) async throws(SluiceError) -> PageOwner {
    let owner = PageOwner.image(pagemap: object.pagemapName)
    counts.withLock { $0.objects += 1 }
    try await plans.begin(owner)
    return owner
  }

  private func coverage(of object: PageServerObject) throws(SluiceError) -> PagemapCoverage? {
    guard let images = try parent.images(having: object) else { return nil }
    return try onImages { () throws(ImagesError) in try images.coverage(pagemap: object.pagemapName) }
  }

  /// Makes sure that the earlier images have pages that the client leaves to them.
  private func check(
    _ run: PageRun, of object: PageServerObject, isIn coverage: inout PagemapCoverage?
  ) throws(SluiceError) {
    let place = "pages of \(object) from 0x\(String(run.address, radix: 16)) on to earlier images"
    guard let images = parent.images else {
      throw SluiceError(
        .malformedImages,
        "\(session.connection.peer) leaves \(place), but the server has none: start it with earlier images (parentDirectory; --prev-images-dir)"
      )
    }
    var address = run.address
    while address < run.end {
      let found = try onImages { () throws(ImagesError) in try coverage?.next(in: address..<run.end) }
      guard let found, found.isCovered else {
        throw SluiceError(
          .malformedImages,
          "\(session.connection.peer) leaves \(place), but \(images.path) lacks the page at 0x\(String(address, radix: 16)): is that the directory of the session before?"
        )
      }
      address = found.end
    }
  }

  /// The walk has received everything.
  private final class NothingToRead: PageSourceReader {
    func fill(_ plan: inout ReadPlan) {}
  }
}
