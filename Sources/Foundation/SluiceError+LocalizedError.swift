public import Foundation
public import Sluice

/// What is shown by those who show errors by Foundation's rules.
extension SluiceError: LocalizedError {
  /// The message, so that it is the `localizedDescription`, too. It is not translated.
  public var errorDescription: String? { message }
}
