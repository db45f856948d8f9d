extension SluiceError {
  /// Any error, such as that of an embedder's source, filter or sink, as one of the library's; one that is stays as it is.
  public init(of error: any Error) {
    switch error {
    case let error as SluiceError: self = error
    case is CancellationError: self = .cancelled
    default: self.init(.io, "\(error)")
    }
  }
}
