internal import CSluiceLinux

/// How a scan of pages finds out which of them were written.
struct DirtyCriterion: Hashable, Sendable {
  /// By which the writes are known.
  enum Authority: Hashable, Sendable {
    /// Nobody's: the scan tells nothing of writes.
    case nobody
    /// That of the write protection: a page is copied if it was written since it was protected.
    case protection
    /// What is known otherwise. The scan adds what was written since the soft-dirty bits were cleared.
    case elsewhere
    /// All pages are copied.
    case everything
  }

  /// By which the writes are known.
  var authority: Authority
  /// Whether the pages are write-protected by the scan that tells of them, in one step (PM_SCAN_WP_MATCHING):
  /// the next scan finds what is written after that. Only registered mappings can be protected; the kernel would pass
  /// over others without a word.
  var protects: Bool
  /// Whether this kernel keeps the soft-dirty bit, which was cleared just before.
  var seesSoftDirty: Bool
  /// Whether devices have the pages pinned, or may have.
  var isPinned = false
  /// Whether probes may have replaced the pages, which are code, and this kernel tells nothing of that.
  var mayBeReplaced = false

  /// Nothing is found out.
  static let unseen = DirtyCriterion(authority: .nobody, protects: false, seesSoftDirty: false)

  /// Asks for what is to be known.
  func extend(_ scan: inout sluice_scan) {
    guard authority != .nobody else { return }
    if protects { scan.flags = UInt64(SLUICE_SCAN_PROTECTS) }
    scan.return_mask |= UInt64(SLUICE_PAGE_WRITTEN.rawValue)
    if seesSoftDirty { scan.return_mask |= UInt64(SLUICE_PAGE_SOFT_DIRTY.rawValue) }
  }

  /// What is to be done with pages of these categories.
  ///
  /// Devices write through pins, past the page tables (io_uring's registered buffers, reads with O_DIRECT): a pin is
  /// taken with a write fault, and a write that ends later would be lost. So the next round copies pages that may be pinned,
  /// too, and each round those that are pinned for long, also where the last round did not know of the pin. Where
  /// there is a soft-dirty bit, clearing it leaves pinned pages dirty, but for huge ones; without it, every page that was
  /// written may be pinned.
  ///
  /// Where a process gives up pages of a private mapping of a file, the kernel leaves marks there that look like pages
  /// in swap that were not written (PTE markers, for a registration outlasts the pages there). Their content is the file's again.
  ///
  /// Code that probes replace is copied, too: neither the soft-dirty bits nor the write protection tell of that.
  ///
  /// - Parameter isFileBacked: whether the pages are in a mapping of a file.
  func verdict(on categories: UInt64, isFileBacked: Bool) -> (mustCopy: Bool, isUnsettled: Bool) {
    func has(_ category: sluice_page_category) -> Bool { categories & UInt64(category.rawValue) != 0 }
    let (isWritten, isSoftDirty) = (has(SLUICE_PAGE_WRITTEN), has(SLUICE_PAGE_SOFT_DIRTY))
    let mayBeGivenUp = isFileBacked && has(SLUICE_PAGE_SWAPPED)
    // What is not protected is copied by the next round anyway.
    let mayBePinned =
      protects
      && (isPinned || (seesSoftDirty ? isSoftDirty || isWritten && has(SLUICE_PAGE_HUGE) : isWritten))
    if isPinned || mayBeReplaced { return (true, mayBePinned) }
    return switch authority {
    case .nobody: (false, false)
    // What was moved here since the clear is soft-dirty, whatever its pages are marked with.
    case .protection: (isWritten || seesSoftDirty && isSoftDirty || mayBeGivenUp, mayBePinned)
    case .elsewhere: (isSoftDirty, mayBePinned)
    case .everything: (true, mayBePinned)
    }
  }
}
