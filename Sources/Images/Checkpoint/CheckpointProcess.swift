/// A process in the images of CRIU's final dump: what a core says of it, and where its memory is in the images.
public struct CheckpointProcess: Sendable, Hashable {
  /// A range of its memory.
  public struct Mapping: Sendable, Hashable {
    /// Where the bytes are that the images have of it.
    public enum Pages: Sendable, Hashable {
      /// Among the pages of the process. Those that are not there are zeros.
      case own
      /// The same, in a private mapping of a file. Those that are not there are as in the file.
      case ownOfFile
      /// Among those of shared memory of that number, from that offset on.
      case shared(id: UInt64, offset: UInt64)
      /// Nowhere: a mapping of a file that others may write, or of the kernel's that nobody can read.
      case none
    }

    /// The addresses.
    public var range: Range<UInt64>
    /// PF_R, PF_W and PF_X, as `CoreSegment` has them.
    public var permissions: UInt32
    /// Where its bytes are.
    public var pages: Pages
    /// Whether the process has asked that it be in no core (MADV_DONTDUMP).
    public var isExcluded: Bool
  }

  /// What is not memory.
  public var core: CoreProcess
  /// The kind of processor that it ran on.
  public var machine: CoreMachine
  /// In address order; they do not overlap.
  public var mappings: [Mapping]
  /// Where in its memory the words are that it was called with.
  public var arguments: Range<UInt64>
}
