internal import SluiceSystem

/// The directory that a run has made its images in, whatever is found by its path later.
struct ImagesPlace: Sendable {
  /// Which directory it is.
  let identity: FileIdentity
  /// Whose links are followed from there, and whose files may be written.
  let trust: Trust
}
