internal import SluiceImages
internal import SluiceSystem

/// A directory that images are about to be written into, before anything is done to a process: what its files can do is
/// known by then.
struct ImagesTarget: ~Copyable {
  private var images: UnfinishedImages?
  /// The files of the first process; nil where none were made.
  private var first: ProcessImages?
  /// How the directory wants its chunks.
  let limits: SinkLimits
  /// Whether files are written past the page cache.
  let isDirect: Bool

  /// Takes the directory, without making any file yet.
  init(_ images: consuming UnfinishedImages) {
    var limits = SinkLimits.keepingNothing
    limits.isMemory = images.isInMemory
    self.limits = limits
    self.images = consume images
    first = nil
    isDirect = false
  }

  /// Makes the files of the first process.
  ///
  /// - Parameters:
  ///   - pagesID: the number of its pages file.
  ///   - expected: how long that will be, as far as can be told, in bytes.
  /// - Throws: `ImagesError` with `cannotCreate`; what was made goes.
  init(
    _ images: consuming UnfinishedImages, first owner: PageOwner, pagesID: UInt32, pageSize: UInt64,
    direct: Bool, expecting expected: UInt64
  ) throws(ImagesError) {
    var made = images
    let output = try ProcessImages.create(
      in: &made, named: ImageNames(of: owner, pagesID: pagesID), pageSize: pageSize, direct: direct,
      expecting: expected)
    isDirect = output.pages.isDirect
    var limits = SinkLimits.keepingNothing
    limits.isMemory = output.pages.isInMemory
    self.limits = limits
    self.images = consume made
    first = consume output
  }

  /// Which directory it is, whatever becomes of its path.
  ///
  /// - Throws: `ImagesError` with `io`.
  func identity() throws(ImagesError) -> FileIdentity {
    switch images {
    case .some(let images): try images.identity()
    case .none: preconditionFailure("the directory was taken")
    }
  }

  /// The directory, which the caller has from now on.
  mutating func takeImages() -> UnfinishedImages? { images.take() }

  /// The files of the first process, which the caller has from now on; nil where none were made.
  mutating func takeFirst() -> ProcessImages? { first.take() }
}
