/// The bits of an entry of /proc/PID/pagemap: Documentation/admin-guide/mm/pagemap.rst.
enum PagemapEntry {
  static let present: UInt64 = 1 << 63
  static let swapped: UInt64 = 1 << 62
  /// The page belongs to a file or to shared anonymous memory.
  static let file: UInt64 = 1 << 61
  /// The page was written since the soft-dirty bits were cleared, or its mapping is newer than that.
  static let softDirty: UInt64 = 1 << 55
  /// A guard region of MADV_GUARD_INSTALL (Linux 6.15).
  static let guardRegion: UInt64 = 1 << 58
  /// The page frame number; 0 unless the reader has CAP_SYS_ADMIN. Of a swapped page it is the swap file's number in
  /// the lowest five bits, and the place there above them.
  static let frame: UInt64 = (1 << 55) - 1

  /// Whether the page was written, or mapped anew: of those that are looked at.
  static func isDirty(_ entry: UInt64, _ pages: MappedArea.Pages) -> Bool {
    guard entry & softDirty != 0 else { return false }
    // All are copied, whatever they are and whether or not they are there.
    return pages == .all || entry & (present | swapped) != 0 && entry & file == 0
  }

  /// Whether the entry is of a guard region, which the kernel calls swapped.
  static func isGuardRegion(_ entry: UInt64) -> Bool {
    if entry & guardRegion != 0 { return true }
    // Linux 6.13 and 6.14 have guard regions and no bit for them. They are markers in the place of a swapped page:
    // "swap file" 31 (SWP_PTE_MARKER of include/linux/swapops.h), with bit 2 for a guard (PTE_MARKER_GUARD).
    return entry & (present | swapped) == swapped && entry & 31 == 31 && entry >> 5 & 4 != 0
  }

  /// Whether there is a page with content, wherever it is.
  static func isPopulated(_ entry: UInt64) -> Bool {
    entry & (present | swapped) != 0 && !isGuardRegion(entry)
  }
}
