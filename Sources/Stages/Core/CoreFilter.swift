/// Which kinds of memory a core holds: the bits of /proc/PID/coredump_filter, core(5).
public struct CoreFilter: OptionSet, Hashable, Sendable {
  /// The bits, as the kernel has them.
  public let rawValue: UInt32

  /// Kinds by their bits.
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// Memory of the process's own.
  public static let privateAnonymous = CoreFilter(rawValue: 1 << 0)
  /// Memory that it shares, and that no file has: of files without a name, too.
  public static let sharedAnonymous = CoreFilter(rawValue: 1 << 1)
  /// Files that are mapped for it alone, whether or not it has changed them.
  public static let privateFiles = CoreFilter(rawValue: 1 << 2)
  /// Files that it shares.
  public static let sharedFiles = CoreFilter(rawValue: 1 << 3)
  /// The first page of each program and library, which says what it is.
  public static let elfHeaders = CoreFilter(rawValue: 1 << 4)
  /// Huge pages that were set aside (hugetlbfs), of its own.
  public static let privateHuge = CoreFilter(rawValue: 1 << 5)
  /// Those that it shares.
  public static let sharedHuge = CoreFilter(rawValue: 1 << 6)

  /// What the kernel takes where nobody has said otherwise.
  public static let usual: CoreFilter = [.privateAnonymous, .sharedAnonymous, .elfHeaders, .privateHuge]
}
