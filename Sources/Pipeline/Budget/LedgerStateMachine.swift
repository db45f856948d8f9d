/// Who has how much of one memory budget; `MemoryLedger` asks it.
///
/// A holder has memory of fixed sizes, and buffers, which can be more or fewer. The fixed memory comes first; the holders
/// share the rest for their buffers, each the same. One that does not fit beside the others waits until some have left.
struct LedgerStateMachine {
  /// Names a holder, or one that waits to be one.
  typealias ID = UInt64

  /// What a holder needs, in bytes.
  struct Need: Hashable {
    /// Memory of fixed sizes.
    var fixed: Int
    /// The least that its buffers take.
    var leastForBuffers: Int
  }

  /// In bytes.
  let total: Int
  private var holders: [(id: ID, need: Need)] = []
  private var waiting: [(id: ID, need: Need)] = []
  private var lastID: ID = 0

  init(total: Int) { self.total = total }

  /// What each holder has for its buffers, in bytes.
  var shareForBuffers: Int { Self.share(of: total, among: holders.map(\.need)) }

  /// The holders, the oldest first.
  var ids: [ID] { holders.map(\.id) }

  private static func share(of total: Int, among needs: [Need]) -> Int {
    let fixed = needs.reduce(0) { $0 + $1.fixed }
    return needs.isEmpty || fixed > total ? 0 : (total - fixed) / needs.count
  }

  private func hasRoom(for need: Need) -> Bool {
    let needs = holders.map(\.need) + [need]
    let share = Self.share(of: total, among: needs)
    return needs.allSatisfy { share >= $0.leastForBuffers }
  }

  enum JoinAction: Hashable {
    /// It is a holder now: those that were there before have less.
    case admitted(ID)
    /// It is one when `leave` says so.
    case wait(ID)
    /// The whole budget is too small for it.
    case impossible
  }

  mutating func join(_ need: Need) -> JoinAction {
    guard Self.share(of: total, among: [need]) >= max(need.leastForBuffers, 1) else { return .impossible }
    lastID += 1
    // Whoever waits is served first: else a big one would wait for ever behind small ones.
    guard waiting.isEmpty, hasRoom(for: need) else {
      waiting.append((lastID, need))
      return .wait(lastID)
    }
    holders.append((lastID, need))
    return .admitted(lastID)
  }

  /// A holder has made its buffers, and needs more for them than was known.
  mutating func raise(leastForBuffers least: Int, of id: ID) {
    guard let index = holders.firstIndex(where: { $0.id == id }) else { return }
    holders[index].need.leastForBuffers = max(holders[index].need.leastForBuffers, least)
  }

  /// A holder leaves, or one that waits gives up.
  ///
  /// - Returns: those that have become holders by that.
  mutating func leave(_ id: ID) -> [ID] {
    holders.removeAll { $0.id == id }
    waiting.removeAll { $0.id == id }
    var admitted: [ID] = []
    while let next = waiting.first, hasRoom(for: next.need) {
      holders.append(waiting.removeFirst())
      admitted.append(next.id)
    }
    return admitted
  }

  /// Whether it is a holder, and does not wait.
  func isHolder(_ id: ID) -> Bool { holders.contains { $0.id == id } }
}
