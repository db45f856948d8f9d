/// How a walk looks at the memory of a process: which memory it passes over, and how it finds out which pages were
/// written.
public struct WalkMode: Hashable, Sendable {
  /// How memory is looked at that is registered for write protection, or all memory where the walk does not ask for
  /// that; nil where the walk passes it over.
  let registered: DirtyCriterion?
  /// How memory is looked at that is not registered; nil where the walk passes it over.
  let unregistered: DirtyCriterion?
  /// How mappings are looked at that are taken whole, which nothing protects: the vdso; nil where the walk passes them
  /// over.
  let whole: DirtyCriterion?
  /// Whether memory is cut where its registration begins and ends.
  let cutsByRegistration: Bool
  /// Whether pages are copied of which neither the page table nor the protection can tell that they were written: those
  /// that devices have pinned, and code that probes replace.
  let heedsHiddenWrites: Bool

  /// The walk takes all pages and asks for no writes.
  static let everything = WalkMode(
    registered: .unseen, unregistered: .unseen, whole: .unseen, cutsByRegistration: false,
    heedsHiddenWrites: false)

  /// The writes are known from before, by the soft-dirty bits.
  static let knownWrites = WalkMode(
    registered: .unseen, unregistered: .unseen, whole: .unseen, cutsByRegistration: false,
    heedsHiddenWrites: true)

  /// A round that goes by write protection: it takes what was written since the pages were protected, and all of the
  /// memory that is not registered.
  ///
  /// - Parameters:
  ///   - protects: whether the walk protects the pages for the next round.
  ///   - seesSoftDirty: whether the soft-dirty bits were cleared just before.
  ///   - isFirst: whether the writes until now are known from before, since the walk protects the pages for the first
  ///     time.
  public static func round(protects: Bool, seesSoftDirty: Bool, isFirst: Bool) -> WalkMode {
    let unregistered = DirtyCriterion(
      authority: isFirst ? .elsewhere : .everything, protects: false, seesSoftDirty: seesSoftDirty)
    return WalkMode(
      registered: DirtyCriterion(
        authority: isFirst ? .elsewhere : .protection, protects: protects, seesSoftDirty: seesSoftDirty),
      unregistered: unregistered, whole: unregistered, cutsByRegistration: true, heedsHiddenWrites: true)
  }

  /// The walk tells what was written since the pages were protected, and protects nothing. Memory that is not registered
  /// counts as written; the vdso is never written.
  public static let sample = WalkMode(
    registered: DirtyCriterion(authority: .protection, protects: false, seesSoftDirty: false),
    unregistered: DirtyCriterion(authority: .everything, protects: false, seesSoftDirty: false),
    whole: nil, cutsByRegistration: true, heedsHiddenWrites: false)

  /// The walk protects all pages of the memory that is registered, whatever they are.
  static let protectAll = WalkMode(
    registered: DirtyCriterion(authority: .everything, protects: true, seesSoftDirty: false),
    unregistered: nil, whole: nil, cutsByRegistration: true, heedsHiddenWrites: false)

  /// How some memory is looked at; nil where the walk passes it over.
  ///
  /// - Parameters:
  ///   - area: what it is a part of.
  ///   - isRegistered: whether it is registered for write protection; true where the walk does not ask for that.
  ///   - isPinned: whether devices have it pinned, or may have.
  ///   - probesHideWrites: whether this kernel replaces code by probes and tells nothing of it.
  func criterion(
    for area: MappedArea, isRegistered: Bool, isPinned: Bool, probesHideWrites: Bool
  ) -> DirtyCriterion? {
    guard area.pages != .all else { return whole }
    guard var criterion = isRegistered ? registered : unregistered else { return nil }
    criterion.isPinned = heedsHiddenWrites && isPinned
    criterion.mayBeReplaced = heedsHiddenWrites && area.isCode && probesHideWrites
    return criterion
  }
}
