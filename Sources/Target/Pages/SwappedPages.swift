/// What becomes of pages that are in swap.
public enum SwappedPages: Sendable {
  /// They are taken. The kernel reads them back into the memory of the process.
  case read
  /// They are left out, for the sake of the process' memory.
  case skip
}
