import Foundation
public import Testing

extension Trait where Self == ConditionTrait {
  /// For what only root may do, such as mounting.
  public static var needsRoot: Self {
    .enabled(if: geteuid() == 0, "only root can do this")
  }
}
