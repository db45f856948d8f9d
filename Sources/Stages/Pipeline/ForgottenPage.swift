#if SLUICE_FAULTS
  import Glibc

  /// A page that a round was told to have been written, and takes for clean all the same: a control, to see that a
  /// comparison of the images with the process notices it.
  ///
  /// Only debug builds have it, where SLUICE_FORGET_DIRTY says ROUND:0xSTART-0xEND: it is the first page between these
  /// addresses, in that round, which the parent's images have. It stays out of what the next round takes again, too.
  struct ForgottenPage: Sendable {
    /// Where it is looked for.
    let range: Range<UInt64>

    /// Nil where none is asked for in this round.
    init?(inRound number: Int) {
      guard let value = unsafe getenv("SLUICE_FORGET_DIRTY") else { return nil }
      let parts = unsafe String(cString: value).split(separator: ":")
      let bounds = parts.last?.split(separator: "-").compactMap { UInt64($0.dropFirst(2), radix: 16) }
      guard parts.count == 2, Int(parts[0]) == number, let bounds, bounds.count == 2, bounds[0] < bounds[1]
      else { return nil }
      range = bounds[0]..<bounds[1]
    }
  }
#endif
