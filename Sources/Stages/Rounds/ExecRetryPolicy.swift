/// How often a round is made again because its process executes another program in the middle of it: the rules, without
/// any process.
struct ExecRetryPolicy: Hashable, Sendable {
  /// So often one round is begun at most.
  static let most = 4
  /// Before it is begun again: what starts by way of several programs comes to its last one meanwhile.
  static let pause = Duration.milliseconds(100)

  /// How often the present round was begun.
  private(set) var count = 0
  /// Whether the next one to begin is that round again.
  private(set) var isAgain = false

  /// A round begins.
  mutating func begins() {
    count = isAgain ? count + 1 : 1
    isAgain = false
  }

  /// The present round has failed because of that.
  ///
  /// - Returns: whether it is begun again.
  mutating func failed() -> Bool {
    isAgain = count < Self.most
    return isAgain
  }
}
