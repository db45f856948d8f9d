/// Hands out one memory budget to several who copy memory at once: memory that was not asked for here cannot be had.
///
/// Each holder tells how much it needs, and gets that with its share of buffers. When another comes, the rings of the
/// holders shrink, and the new one begins when they have: at no time do all together have more than the budget.
public actor MemoryLedger {
  /// A part of the budget; it is to be given back (`MemoryLedger.giveBack`).
  public struct Part: Hashable, Sendable {
    let id: UInt64
    /// For buffers, in bytes, as long as nobody else comes.
    public let bytesForBuffers: Int
  }

  /// Why a part was not handed out.
  public enum Refusal: Error, Hashable {
    /// The whole budget would not do.
    case tooSmall
    /// The task was cancelled while it waited.
    case cancelled
  }

  /// The whole budget in bytes.
  public nonisolated let total: Int
  private var machine: LedgerStateMachine
  private var rings: [UInt64: BufferRing] = [:]
  /// Rings that nobody uses at this moment, whose buffers still have memory.
  private var idleRings: [BufferRing] = []
  private var waiters: [UInt64: SuspendedTask<Bool>] = [:]

  /// A budget of so many bytes.
  public init(total: Int) {
    self.total = total
    machine = LedgerStateMachine(total: total)
  }

  /// Takes a part of the budget, waiting until others have left or their rings have shrunk.
  ///
  /// - Parameters:
  ///   - fixed: memory of fixed sizes, in bytes.
  ///   - least: the least that its buffers take, in bytes.
  ///   - ring: the idle ring that it goes on with; nil where it makes a new one.
  ///   - fewest: the fewest buffers that it can go on with.
  ///   - laidOut: says how large one buffer is, in bytes, that is made where there are so many for all. The fewest of them cannot be
  ///     taken away again, whoever comes before the ring is there.
  /// - Throws: `Refusal`.
  public func take(
    fixed: Int, leastForBuffers least: Int, ring: BufferRing?, fewest: Int = MemoryLedger.fewestBuffers,
    laidOut: @Sendable (_ bytesForBuffers: Int) -> Int = { _ in 0 }
  ) async throws(MemoryLedger.Refusal) -> Part {
    let id: UInt64
    switch machine.join(LedgerStateMachine.Need(fixed: fixed, leastForBuffers: least)) {
    case .impossible: throw .tooSmall
    case .admitted(let admitted): id = admitted
    case .wait(let waiting):
      id = waiting
      guard await waitForAdmission(id) else {
        leave(id)
        throw .cancelled
      }
    }
    if let ring { idleRings.removeAll { $0 === ring } }
    guard await shrinkOthers() else {
      leave(id)
      if let ring { idleRings.append(ring) }
      throw .cancelled
    }
    let share = machine.shareForBuffers
    machine.raise(leastForBuffers: fewest * laidOut(share), of: id)
    return Part(id: id, bytesForBuffers: share)
  }

  /// With two, one is read while the other is written; with none, nothing would go on.
  public static let fewestBuffers = 2

  /// Says which ring the buffers of a part are in. It has no more buffers from now on than the part has memory for.
  public func use(_ ring: BufferRing, for part: Part) {
    rings[part.id] = ring
    machine.raise(
      leastForBuffers: ring.fewestBuffers * (ring.layout.totalBytes / ring.layout.count), of: part.id)
    ring.setLimit(buffers(of: ring))
  }

  /// Gives a part back.
  ///
  /// - Parameter idle: its ring, where that is kept: it has memory until somebody needs that.
  public func giveBack(_ part: Part, keeping idle: BufferRing? = nil) {
    rings[part.id] = nil
    if let idle { idleRings.append(idle) }
    leave(part.id)
    for ring in rings.values { ring.setLimit(buffers(of: ring)) }
  }

  /// A ring that was idle is gone.
  public func forget(_ ring: BufferRing) { idleRings.removeAll { $0 === ring } }

  private func leave(_ id: UInt64) {
    for id in machine.leave(id) { waiters.removeValue(forKey: id)?.resume(returning: true) }
  }

  /// As many as the ring was laid out for by whoever uses it, if there is memory for them.
  private func buffers(of ring: BufferRing) -> Int {
    min(ring.wantedLimit, machine.shareForBuffers / (ring.layout.totalBytes / ring.layout.count))
  }

  private func shrinkOthers() async -> Bool {
    let others = Array(rings.values)
    for ring in others { ring.setLimit(buffers(of: ring)) }
    // Others may need all but a little of the budget.
    for ring in idleRings { ring.setLimit(0) }
    for ring in others + idleRings {
      guard await ring.waitUntilWithinLimit() else { return false }
    }
    return true
  }

  private func waitForAdmission(_ id: UInt64) async -> Bool {
    await withTaskCancellationHandler {
      await SuspendedTask<Bool>.suspend { waiter in
        if Task.isCancelled {
          waiter.resume(returning: false)
        } else if machine.isHolder(id) {
          waiter.resume(returning: true)
        } else {
          waiters[id] = waiter
        }
      }
    } onCancel: {
      Task { await self.cancel(id) }
    }
  }

  private func cancel(_ id: UInt64) {
    waiters.removeValue(forKey: id)?.resume(returning: false)
  }
}
