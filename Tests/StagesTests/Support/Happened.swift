import Foundation
import SluiceTestSupport

/// Whether something was done, and how it went.
final class Happened: @unchecked Sendable {
  private let lock = NSLock()
  private var outcome: Result<Void, any Error>?

  func note(_ body: () throws -> Void) {
    let outcome = Result { try body() }
    lock.withLock { self.outcome = outcome }
  }

  func check() throws {
    guard let outcome = lock.withLock({ outcome }) else { throw TestFailure("the moment never came") }
    try outcome.get()
  }
}
