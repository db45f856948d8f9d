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
  /// The page frame number; 0 unless the reader has CAP_SYS_ADMIN.
  static let frame: UInt64 = (1 << 55) - 1

  /// Whether the page was written, or mapped anew: of those that are looked at.
  static func isDirty(_ entry: UInt64, _ pages: MappedArea.Pages) -> Bool {
    guard entry & softDirty != 0 else { return false }
    // All are copied, whatever they are and whether or not they are there.
    return pages == .all || entry & (present | swapped) != 0 && entry & file == 0
  }
}
