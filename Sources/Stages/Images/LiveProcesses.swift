internal import SluiceImages
internal import SluiceTarget

/// The processes of a tree that live, to be found by the pids that they have in their own pid namespaces.
public struct LiveProcesses: Sendable {
  private let pids: [Int32: Int32]

  /// - Parameters:
  ///   - root: the process that the tree begins with, by its pid in our pid namespace.
  ///   - imagesDirectory: images of some of them. Of several that have the same pid in pid namespaces of their own, the
  ///     one is meant that these are of, where they say so, else the one that was there first.
  /// - Throws: `SluiceError` when it does not live, or may not be read; when the images cannot be read; `cancelled`.
  public init(root: Int32, imagesDirectory: String) async throws(SluiceError) {
    self = try await BlockingWork.run("looking for the processes") { () throws(SluiceError) in
      try LiveProcesses(lookingBelow: root, imagesDirectory: imagesDirectory)
    }
  }

  private init(lookingBelow root: Int32, imagesDirectory: String) throws(SluiceError) {
    let subject = try onImages { () throws(ImagesError) in
      try ImagesSubject(in: ImagesDirectory(path: imagesDirectory))
    }
    let tree = try onTarget { () throws(TargetError) in
      try ProcessTree(root: root, known: subject.identities)
    }
    pids = Dictionary(
      tree.processes.map { ($0.namespacePid, $0.pid) }, uniquingKeysWith: { first, _ in first })
  }

  /// The pid that we see a process under; nil when there is none in the tree.
  ///
  /// - Parameter namespacePid: in its own pid namespace.
  public func pid(namespacePid: Int32) -> Int32? { pids[namespacePid] }
}
