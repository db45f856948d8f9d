internal import SluiceTarget

/// What CRIU's final dump would not see.
extension Capabilities {
  mutating func tryWhatHidesWrites(_ tree: ProcessTree) {
    do throws(SluiceError) {
      let doubts = try SoftDirtyDoubts(about: tree.processes)
      add(Self.merging(doubts))
      add(Self.softDirtyUse(doubts))
    } catch {
      add(Finding(.merging, nil, error.message))
      add(Finding(.softDirtyUse, nil, error.message))
    }
    tryProbes(tree)
  }

  private static let consequence =
    "auto finds writes in another way; 'criu dump' copies all pages again"

  private static func merging(_ doubts: SoftDirtyDoubts) -> Finding {
    guard !doubts.merged.isEmpty else {
      return Finding(.merging, true, "the kernel merges no pages of it (KSM)")
    }
    return Finding(
      .merging, false, SoftDirtyDoubts(merged: doubts.merged).reason, fallback: consequence,
      advice:
        "switch merging off: prctl(PR_SET_MEMORY_MERGE), MADV_UNMERGEABLE, or 2 in /sys/kernel/mm/ksm/run"
    )
  }

  private static func softDirtyUse(_ doubts: SoftDirtyDoubts) -> Finding {
    guard !doubts.users.isEmpty else {
      return Finding(
        .softDirtyUse, true, "none of its processes has the clear_refs or pagemap of one of them open")
    }
    return Finding(
      .softDirtyUse, false, SoftDirtyDoubts(users: doubts.users).reason,
      fallback: "\(consequence), and clears the bits; soft-dirty and both are refused")
  }

  private mutating func tryProbes(_ tree: ProcessTree) {
    do throws(TargetError) {
      for process in tree.processes where KernelSupport.probesHideWrites {
        var walk = try PageWalk(of: process)
        while try walk.nextMapping() != nil {}
        guard walk.haveProbes else { continue }
        add(
          Finding(
            .probes, false, "the program of process \(process.pid) has probes (uprobes), or had some",
            fallback:
              "'criu dump' may take old code for current when one is set or removed after the last round",
            advice: "boot Linux 6.16 or later, or change no probe until the dump is made"))
        return
      }
      add(
        Finding(
          .probes, true,
          KernelSupport.probesHideWrites
            ? "it has no probes" : "the kernel reports code that probes replace"))
    } catch {
      add(Finding(.probes, nil, error.description))
    }
  }
}
