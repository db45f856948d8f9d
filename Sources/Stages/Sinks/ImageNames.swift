internal import SluiceImages

/// How the two image files of a process are called.
struct ImageNames: Hashable, Sendable {
  /// The name of the pagemap.
  let pagemap: String
  /// The number in the name of the pages file.
  let pagesID: UInt32

  /// The first pages file of a directory has number 1, as CRIU counts them.
  static let firstPagesID: UInt32 = 1
  /// A page server counts from here on, as CRIU's does: what else the client has in the directory is below.
  static let firstPagesIDOfSessions: UInt32 = 65537

  /// - Parameter place: of the process among those of the directory, counted from 0.
  init(of owner: PageOwner, at place: Int) {
    self.init(of: owner, pagesID: Self.pagesID(at: place))
  }

  init(of owner: PageOwner, pagesID: UInt32) {
    switch owner {
    case .process(let process): pagemap = UnfinishedImages.pagemapName(pid: process.namespacePid)
    case .image(let name): pagemap = name
    }
    self.pagesID = pagesID
  }

  /// The number of the pages file of a process at so many others.
  static func pagesID(at place: Int) -> UInt32 { UInt32(place) + firstPagesID }
}
