import SluicePipeline

/// Says what became of every `Token` that was made: so a test sees one that was lost, and one that was
/// there twice.
final class Ledger: Sendable {
  private struct Entries: ~Copyable {
    var made = 0
    var alive: Set<Int> = []
    /// Tokens that ended without being alive: copies, if the language let one be made behind its back.
    var endedTwice: [Int] = []
  }

  private let entries = Locked(Entries())

  var madeCount: Int { entries.withLock { $0.made } }
  var aliveCount: Int { entries.withLock { $0.alive.count } }
  var endedTwice: [Int] { entries.withLock { $0.endedTwice } }

  func makeToken() -> Token {
    let id = entries.withLock { entries in
      entries.made += 1
      entries.alive.insert(entries.made)
      return entries.made
    }
    return Token(id: id, ledger: self)
  }

  fileprivate func end(_ id: Int) {
    entries.withLock { entries in
      if entries.alive.remove(id) == nil { entries.endedTwice.append(id) }
    }
  }
}

/// An element that cannot be copied and whose end is noted.
struct Token: ~Copyable, Sendable {
  /// From 1, in the order of making.
  let id: Int
  private let ledger: Ledger

  fileprivate init(id: Int, ledger: Ledger) {
    self.id = id
    self.ledger = ledger
  }

  deinit {
    ledger.end(id)
  }
}
