import Testing

@testable import SluiceTarget

/// The rules of a walk, upon a memory that is a script.
@Suite("Walk pieces")
struct WalkPiecesTests {
  /// Areas, and where they are registered for write protection.
  private struct Script: WalkedMemory {
    var areas: [MappedArea]
    var unregistered: [Range<UInt64>] = []
    var registered: [RegisteredRanges.Entry] = []
    /// The areas that were cut.
    var cuts: [UInt64] = []
    /// How many areas there are before one that cannot be listed.
    var areasBeforeFailure = Int.max

    mutating func nextArea() throws(TargetError) -> MappedArea? {
      guard areasBeforeFailure > 0 else { throw TargetError(.gone, "process 1 has ended") }
      areasBeforeFailure -= 1
      return areas.isEmpty ? nil : areas.removeFirst()
    }

    mutating func cutByRegistration(_ area: MappedArea) throws(TargetError) {
      cuts.append(area.start)
      registered = []
      var position = area.start
      for range in unregistered where range.overlaps(area.start..<area.end) {
        let found = range.clamped(to: area.start..<area.end)
        if position < found.lowerBound { add(position..<found.lowerBound, true) }
        add(found, false)
        position = found.upperBound
      }
      if position < area.end { add(position..<area.end, true) }
    }

    private mutating func add(_ range: Range<UInt64>, _ isRegistered: Bool) {
      registered.append(.init(range: range, isRegistered: isRegistered))
    }
  }

  private static func area(
    _ range: Range<UInt64>, _ pages: MappedArea.Pages = .own, isCode: Bool = false
  ) -> MappedArea {
    MappedArea(start: range.lowerBound, end: range.upperBound, pages: pages, isCode: isCode)
  }

  /// Anonymous memory, code of a file, the vdso.
  private let areas = [
    area(0x1000..<0x9000), area(0x10000..<0x14000, .copiedFromFile, isCode: true),
    area(0x20000..<0x22000, .all),
  ]

  private func pieces(
    _ mode: WalkMode, unregistered: [Range<UInt64>] = [], pinned: PinnedMemory = .none,
    probesHideWrites: Bool = false
  ) throws(TargetError) -> [WalkPiece] {
    var walk = WalkPieces(
      of: Script(areas: areas, unregistered: unregistered), mode: mode, pinned: pinned,
      probesHideWrites: probesHideWrites)
    var pieces: [WalkPiece] = []
    while let piece = try walk.next() { pieces.append(piece) }
    return pieces
  }

  private static let round = WalkMode.round(protects: true, seesSoftDirty: false, isFirst: false)

  @Test func areWholeAreasWhereNothingCutsThem() throws {
    for mode in [WalkMode.everything, .knownWrites] {
      #expect(
        try pieces(mode) == [
          WalkPiece(range: 0x1000..<0x9000, pages: .own, writes: .unseen),
          WalkPiece(range: 0x10000..<0x14000, pages: .copiedFromFile, writes: .unseen),
          WalkPiece(range: 0x20000..<0x22000, pages: .all, writes: .unseen),
        ])
    }
    // What is not registered is of no matter then, and what is pinned neither where all is copied.
    let pinned = PinnedMemory(ranges: [0x2000..<0x3000], isKnown: true)
    #expect(
      try pieces(.everything, unregistered: [0x1000..<0x2000], pinned: pinned, probesHideWrites: true)
        .allSatisfy {
          $0.writes == .unseen
        })
  }

  @Test func areCutWhereRegistrationBeginsAndEnds() throws {
    let found = try pieces(Self.round, unregistered: [0x2000..<0x3000, 0x8000..<0x9000, 0x10000..<0x14000])
    #expect(
      found.map(\.range) == [
        0x1000..<0x2000, 0x2000..<0x3000, 0x3000..<0x8000, 0x8000..<0x9000, 0x10000..<0x14000,
        0x20000..<0x22000,
      ])
    #expect(
      found.map(\.writes.authority) == [
        .protection, .everything, .protection, .everything, .everything, .everything,
      ])
    // What is not registered cannot be protected: the kernel would pass it over without a word.
    #expect(found.map(\.writes.protects) == [true, false, true, false, false, false])
  }

  @Test func areCutWherePinnedMemoryBeginsAndEnds() throws {
    let pinned = PinnedMemory(ranges: [0x0..<0x2000, 0x4000..<0x5000, 0x8000..<0x11000], isKnown: true)
    for mode in [WalkMode.knownWrites, Self.round] {
      let found = try pieces(mode, pinned: pinned)
      #expect(
        found.map(\.range) == [
          0x1000..<0x2000, 0x2000..<0x4000, 0x4000..<0x5000, 0x5000..<0x8000, 0x8000..<0x9000,
          0x10000..<0x11000, 0x11000..<0x14000, 0x20000..<0x22000,
        ])
      #expect(found.map(\.writes.isPinned) == [true, false, true, false, true, true, false, false])
    }
  }

  @Test func areCutByBoth() throws {
    let pinned = PinnedMemory(ranges: [0x2000..<0x4000], isKnown: true)
    let found = try pieces(Self.round, unregistered: [0x3000..<0x5000], pinned: pinned)
    #expect(
      found.prefix(5).map(\.range) == [
        0x1000..<0x2000, 0x2000..<0x3000, 0x3000..<0x4000, 0x4000..<0x5000, 0x5000..<0x9000,
      ])
    #expect(found.prefix(5).map(\.writes.isPinned) == [false, true, true, false, false])
    #expect(found.prefix(5).map(\.writes.protects) == [true, true, false, false, true])
  }

  /// Who does not know what is pinned must copy everything, but for the vdso, of which no device knows.
  @Test func allMayBePinnedWhereItIsNotKnown() throws {
    let pinned = PinnedMemory(ranges: [0x2000..<0x4000], isKnown: false)
    for mode in [WalkMode.knownWrites, Self.round] {
      let found = try pieces(mode, pinned: pinned)
      #expect(found.map(\.range) == areas.map { $0.start..<$0.end })
      #expect(found.map(\.writes.isPinned) == [true, true, false])
    }
  }

  @Test(arguments: [false, true])
  func codeMayBeReplacedWhereProbesHideThat(probesHideWrites: Bool) throws {
    for mode in [WalkMode.knownWrites, Self.round] {
      let found = try pieces(mode, probesHideWrites: probesHideWrites)
      #expect(found.map(\.writes.mayBeReplaced) == [false, probesHideWrites, false])
    }
  }

  @Test func passOverWhatASampleHasNoNeedOf() throws {
    let pinned = PinnedMemory(ranges: [0x2000..<0x4000], isKnown: true)
    let found = try pieces(.sample, unregistered: [0x8000..<0x9000], pinned: pinned)
    #expect(found.map(\.range).last == 0x10000..<0x14000)
    #expect(found.allSatisfy { !$0.writes.isPinned && !$0.writes.protects && !$0.writes.mayBeReplaced })
    #expect(found.filter { $0.writes.authority == .everything }.map(\.range) == [0x8000..<0x9000])
  }

  /// Whatever is protected has been registered.
  @Test func areRegisteredMemoryAloneWhereAllIsProtected() throws {
    let found = try pieces(.protectAll, unregistered: [0x1000..<0x2000, 0x8000..<0x12000])
    #expect(found.map(\.range) == [0x2000..<0x8000, 0x12000..<0x14000])
    #expect(found.allSatisfy { $0.writes.protects })
  }

  @Test func theVdsoIsNeverCut() throws {
    var walk = WalkPieces(
      of: Script(areas: areas, unregistered: [0x20000..<0x21000]), mode: Self.round,
      pinned: PinnedMemory(ranges: [0x21000..<0x22000], isKnown: true), probesHideWrites: false)
    var last: WalkPiece?
    while let piece = try walk.next() { last = piece }
    #expect(last?.range == 0x20000..<0x22000 && last?.writes.isPinned == false)
    let cuts = walk.memory.cuts
    #expect(cuts == [0x1000, 0x10000])
  }

  @Test func anAreaMayBeLeftInTheMiddle() throws {
    var walk = WalkPieces(of: Script(areas: []), mode: Self.round, probesHideWrites: false)
    // Out of the macro: within it, the compiler (Swift 6.3) crashes.
    let none = walk.nextOfArea()
    try walk.begin(Self.area(0x1000..<0x3000))
    let (first, end) = (walk.nextOfArea(), walk.nextOfArea())
    try walk.begin(Self.area(0x3000..<0x5000))
    try walk.begin(Self.area(0x7000..<0x8000))
    let (last, rest) = (walk.nextOfArea(), try walk.next())
    #expect(
      [none, first, end, last, rest].map(\.?.range) == [nil, 0x1000..<0x3000, nil, 0x7000..<0x8000, nil])
  }

  @Test func endWithTheMemory() throws {
    var walk = WalkPieces(of: Script(areas: areas, areasBeforeFailure: 1), mode: .everything)
    let first = try walk.next()
    #expect(first?.range == 0x1000..<0x9000)
    do throws(TargetError) {
      _ = try walk.next()
      Issue.record("areas go on behind one that cannot be listed")
    } catch {
      #expect(error.code == .gone)
    }
  }

  /// Random areas, registrations and pins: the pieces cover what the mode takes, each address once, and each is what the
  /// rules say of its first page.
  @Test func coverEveryPageOnce() throws {
    var generator = SystemRandomNumberGenerator()
    func ranges(_ count: Int) -> [Range<UInt64>] {
      let bounds = Set((0..<2 * count).map { _ in UInt64.random(in: 0..<400, using: &generator) }).sorted()
      return stride(from: 0, to: bounds.count - 1, by: 2).map { bounds[$0] << 12..<bounds[$0 + 1] << 12 }
    }
    for _ in 0..<200 {
      let areas = ranges(8).map {
        Self.area($0, [.own, .copiedFromFile, .all].randomElement(using: &generator)!, isCode: Bool.random())
      }
      let (unregistered, pins) = (ranges(8), PinnedMemory(ranges: ranges(8), isKnown: true))
      for mode in [WalkMode.everything, .knownWrites, Self.round, .sample, .protectAll] {
        var walk = WalkPieces(
          of: Script(areas: areas, unregistered: unregistered), mode: mode, pinned: pins,
          probesHideWrites: true)
        var found: [UInt64: WalkPiece] = [:]
        var end: UInt64 = 0
        while let piece = try walk.next() {
          #expect(piece.range.lowerBound >= end && !piece.range.isEmpty)
          end = piece.range.upperBound
          for page in stride(from: piece.range.lowerBound, to: end, by: 0x1000) { found[page] = piece }
        }
        for area in areas {
          for page in stride(from: area.start, to: area.end, by: 0x1000) {
            let isRegistered = mode.cutsByRegistration ? !unregistered.contains { $0.contains(page) } : true
            let writes = mode.criterion(
              for: area, isRegistered: isRegistered, isPinned: pins.ranges.contains { $0.contains(page) },
              probesHideWrites: true)
            #expect(found[page]?.writes == writes)
            if writes != nil { #expect(found.removeValue(forKey: page)?.pages == area.pages) }
          }
        }
        #expect(found.isEmpty)
      }
    }
  }
}
