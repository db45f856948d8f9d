internal import CSluiceLinux
internal import SluiceTarget

/// Goes through the memory of a process that stands still, part by part: alone, and from when that has taken a while, with
/// the help of others.
struct TeamScan: ~Copyable {
  /// From here on the others are called: to wake one takes about a tenth of it.
  private static let aloneNanoseconds: UInt64 = 400_000

  private let scan: any SharedScan
  private let team: ScanTeam
  private var scanner: (any PartScanner)?
  private var took: UInt64 = 0
  private var isShared = false
  /// What was come across before others helped.
  private var talliedAlone = PageTally()
  /// What the last step found, in address order.
  ///
  /// It is best looked at by index: where somebody keeps a copy of the array, the next step must allocate a new one.
  private(set) var runs: [ScannedRun] = []

  init(_ scan: any SharedScan, by team: ScanTeam) {
    self.scan = scan
    self.team = team
  }

  /// Goes on by a step.
  ///
  /// - Returns: false after the last. Else `runs` has what the step found, which may be nothing.
  /// - Throws: `TargetError` when the memory is gone, or the kernel refuses.
  mutating func next() throws(TargetError) -> Bool {
    guard isShared || took >= Self.aloneNanoseconds else { return try nextAlone() }
    if !isShared {
      talliedAlone = scanner?.tally ?? PageTally()
      isShared = true
      team.begin(scan)
    }
    return try team.next(into: &runs, by: &scanner)
  }

  private mutating func nextAlone() throws(TargetError) -> Bool {
    let began = sluice_monotonic_nanoseconds()
    defer { took += sluice_monotonic_nanoseconds() - began }
    guard let part = try scan.cut(atMost: ScanTeam.partBytes) else { return false }
    let own = try scanner.orMade { () throws(TargetError) in try scan.makeScanner() }
    scanner = own
    try own.scan(part, into: &runs)
    return true
  }

  /// Pages that all steps came across and that are not simply there.
  var tally: PageTally {
    guard isShared else { return scanner?.tally ?? PageTally() }
    var tally = talliedAlone
    tally += team.tally
    return tally
  }
}

extension Optional where Wrapped == any PartScanner {
  /// The scanner that there is, or else one that is made now.
  ///
  /// - Throws: what `make` throws.
  func orMade(_ make: () throws(TargetError) -> any PartScanner) throws(TargetError) -> any PartScanner {
    if let self { return self }
    return try make()
  }
}
