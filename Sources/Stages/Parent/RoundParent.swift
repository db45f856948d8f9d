internal import SluiceImages
internal import SluiceTarget

/// What a round builds on: what has the pages that nothing wrote since.
enum RoundParent: Sendable {
  /// Images of an earlier round.
  case images(ParentImages)
  /// What earlier rounds of the same run have written to where this one writes, too.
  case sink(Written)

  /// What earlier rounds have written to a sink.
  struct Written: Sendable {
    /// The name of the sink.
    let name: String
    /// The memory that the last round has looked at, in address order, by the pids of the processes. What was mapped since
    /// is in none of it.
    let covered: [Int32: [Range<UInt64>]]
  }

  /// The images; nil where it is none.
  var images: ParentImages? {
    if case .images(let images) = self { images } else { nil }
  }

  /// The directory of the images, or the name of the sink.
  var path: String {
    switch self {
    case .images(let images): images.path
    case .sink(let written): written.name
    }
  }

  /// The pids, as we see them, of the processes of a tree that it is of. Of the others it is told why not.
  func pids(in tree: ProcessTree, _ configuration: PreDump.Configuration) -> Set<Int32> {
    switch self {
    case .images(let images): ParentProcesses(of: images, configuration).pids(in: tree)
    case .sink(let written): Set(written.covered.keys).intersection(tree.processes.map(\.pid))
    }
  }
}
