internal import CSluiceLinux
import Glibc

/// Whether the kernel merges pages of a process that are alike (KSM: Documentation/admin-guide/mm/ksm.rst).
///
/// Merging puts another entry into the page table, without the soft-dirty bit (replace_page of mm/ksm.c): a page that was
/// written, and merged since, is called clean. Asynchronous write protection calls it written. When pages are given
/// back their own (MADV_UNMERGEABLE), the bit does not come back.
public enum MergedMemory {
  /// Whether pages of the process are merged, or may have been a moment ago.
  ///
  /// - Throws: `TargetError` when the kernel does not tell, or the process has ended.
  public static func isPossible(in process: TargetProcess) throws(TargetError) -> Bool {
    let directory = "/proc/\(process.pid)"
    var isTold = false
    for (name, tells) in [("ksm_stat", Self.statTells), ("ksm_merging_pages", Self.countTells)] {
      do throws(ProcFile.OpenFailed) {
        if tells(try ProcFile.text(ofFileAt: "\(directory)/\(name)")) { return true }
        isTold = true
      } catch {
        // ksm_merging_pages came with Linux 5.19, ksm_stat with 6.1, and kernels without KSM have neither.
        guard error.errno.code == ENOENT else {
          throw process.failure(of: "reading \(directory)/\(name)", errno: error.errno)
        }
      }
    }
    if isTold { return false }
    try process.checkStillTheSame()
    return machineMerges()
  }

  /// What ksm_stat counts. There is a "rmap item" for each page that the kernel has looked at; they stay for a while when
  /// the process no longer has pages merged. Since Linux 6.15 the file also tells whether the process would have pages
  /// merged, which does not matter while the kernel merges none.
  static func statTells(_ text: String) -> Bool {
    var isWanted = false
    for line in text.split(separator: "\n") {
      let parts = line.split(whereSeparator: { $0 == " " || $0 == ":" })
      guard parts.count == 2 else { continue }
      switch parts[0] {
      case "ksm_rmap_items", "ksm_zero_pages", "ksm_merging_pages": if parts[1] != "0" { return true }
      case "ksm_merge_any", "ksm_mergeable": isWanted = isWanted || parts[1] == "yes"
      default: continue
      }
    }
    return isWanted && isRunning
  }

  private static func countTells(_ text: String) -> Bool {
    text.split(separator: "\n").first.map { $0 != "0" } ?? false
  }

  /// Whether the kernel looks for pages to merge at this moment.
  private static var isRunning: Bool { number("run") == 1 }

  /// Whether it has looked at pages of any process, where it does not tell of which.
  private static func machineMerges() -> Bool {
    ["pages_shared", "pages_sharing", "pages_unshared", "pages_volatile"].contains { (number($0) ?? 0) != 0 }
  }

  /// - Returns: nil where the kernel has no KSM.
  private static func number(_ name: String) -> Int? {
    let text = try? ProcFile.text(ofFileAt: "/sys/kernel/mm/ksm/\(name)")
    return text.flatMap { Int($0.prefix(while: { $0 != "\n" })) }
  }
}
