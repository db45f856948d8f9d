import Glibc
import SluiceTestSupport
import Testing

@testable import SluiceTarget

@Suite("Merged memory", .timeLimit(.minutes(15)))
struct MergedMemoryTests {
  /// As Linux 6.1, 6.12 and 6.18 write it.
  @Test(arguments: [
    ("ksm_rmap_items 0\n", false), ("ksm_rmap_items 1\n", true),
    ("ksm_rmap_items 0\nksm_zero_pages 0\nksm_merging_pages 0\nksm_process_profit 0\n", false),
    ("ksm_rmap_items 0\nksm_zero_pages 3\nksm_merging_pages 0\nksm_process_profit 12288\n", true),
    ("ksm_rmap_items 0\nksm_zero_pages 0\nksm_merging_pages 2\nksm_process_profit -64\n", true),
    (
      "ksm_rmap_items 0\nksm_zero_pages 0\nksm_merging_pages 0\nksm_process_profit -64\nksm_merge_any: no\nksm_mergeable: no\n",
      false
    ),
    ("", false),
  ])
  func isWhatTheKernelHasLookedAt(text: String, isPossible: Bool) {
    #expect(MergedMemory.statTells(text) == isPossible)
  }

  @Test(
    .needsRoot, .enabled(if: Kernel.isAtLeast(6, 1), "the kernel tells of a process' pages since 6.1"),
    .enabled(if: unsafe access("/sys/kernel/mm/ksm/run", W_OK) == 0, "this kernel merges no pages"))
  func isTakenNoteOf() async throws {
    try await withMerging {
      try await MappingTarget.run { target in
        let process = try TargetProcess(pid: target.pid)
        #expect(try !MergedMemory.isPossible(in: process))
        let start = try await target.map(pages: 64)
        // MADV_MERGEABLE
        try await target.tell("advise \(hexadecimal(start)) 64 12")
        try await eventually("they are looked at") { try MergedMemory.isPossible(in: process) }
      }
    }
  }
}
