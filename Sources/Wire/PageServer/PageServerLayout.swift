/// How the headers of CRIU's page-server protocol are laid out. Nothing in the protocol says so: CRIU 4.2 changed the
/// layout without a sign.
///
/// Observed against the servers of CRIU 4.1.1 and 4.2. All numbers are in the byte order of the machine.
public enum PageServerLayout: Int, Hashable, Sendable, CaseIterable {
  /// Up to CRIU 4.1.1: command (4 bytes), number of pages (4), address (8), object (8).
  case bytes24 = 24
  /// From CRIU 4.2 on: command (4 bytes), 4 bytes of nothing, number of pages (8), address (8), object (8).
  case bytes32 = 32

  /// The length of a header in bytes.
  public var headerBytes: Int { rawValue }

  /// The most pages that one header can name.
  public var mostPages: UInt64 {
    switch self {
    case .bytes24: UInt64(UInt32.max)
    case .bytes32: UInt64.max
    }
  }
}
