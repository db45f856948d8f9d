internal import SluiceImages
internal import SluicePipeline
internal import SluiceWire

/// The earlier images that a session builds on: known from the start, or as soon as the client names an object that earlier
/// images have.
///
/// The first object may be one that no earlier images have, such as a process that was born since, or memory that processes
/// share: CRIU's dump begins with it, and pre-dumps of Sluice's leave it out.
final class SessionParent: Sendable {
  private let known: Locked<ParentImages?>
  private let find: @Sendable (PageServerObject) throws(SluiceError) -> ParentImages?

  /// Earlier images that are known; nil where there are none.
  init(_ images: ParentImages?) {
    known = Locked(images)
    find = { _ in nil }
  }

  /// - Parameter find: finds the earlier images that have an object.
  init(findingBy find: @escaping @Sendable (PageServerObject) throws(SluiceError) -> ParentImages?) {
    known = Locked(nil)
    self.find = find
  }

  /// The earlier images, as far as they are known.
  var images: ParentImages? { known.withLock { $0 } }

  /// The earlier images, now that the client has named an object. Once they are known they stay the same.
  ///
  /// - Throws: `SluiceError` where they cannot be looked for.
  func images(having object: PageServerObject) throws(SluiceError) -> ParentImages? {
    if let images { return images }
    let found = try find(object)
    known.withLock { $0 = found }
    return found
  }
}
