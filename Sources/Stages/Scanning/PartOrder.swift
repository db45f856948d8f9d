/// In which order parts are handed out to be scanned, and given on when they are: as they were cut, whoever is done first.
/// A part has a place from when it is handed out until it is given on.
struct PartOrder: Sendable {
  /// What the next part is.
  enum Next: Hashable, Sendable {
    /// It is scanned, and has this place.
    case scanned(Int)
    /// Somebody scans it.
    case beingScanned
    /// Nobody has been handed it.
    case none
  }

  /// How many parts there may be between the first that was not given on and the last that was handed out.
  let capacity: Int
  private var handedOut = 0
  private var givenOn = 0
  private var isScanned: [Bool]

  init(capacity: Int) {
    precondition(capacity > 0, "a part has a place")
    self.capacity = capacity
    isScanned = Array(repeating: false, count: capacity)
  }

  /// How many places are free.
  var room: Int { capacity - (handedOut - givenOn) }

  /// Hands out the next part.
  ///
  /// - Returns: its place.
  mutating func handOut() -> Int {
    precondition(room > 0, "there is a free place for a part")
    let place = handedOut % capacity
    isScanned[place] = false
    handedOut += 1
    return place
  }

  /// A part is scanned.
  mutating func scanned(_ place: Int) { isScanned[place] = true }

  /// What the next part to give on is.
  var next: Next {
    guard givenOn < handedOut else { return .none }
    let place = givenOn % capacity
    return isScanned[place] ? .scanned(place) : .beingScanned
  }

  /// The next part was given on: its place is free.
  mutating func giveOn() {
    precondition(next != .none && next != .beingScanned, "what is given on was scanned")
    givenOn += 1
  }

  /// There are no parts any more, given on or not.
  mutating func startAnew() { (handedOut, givenOn) = (0, 0) }
}
