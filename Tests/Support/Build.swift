public import Testing

extension Trait where Self == ConditionTrait {
  /// For what a build without the package's trait TLS cannot do.
  public static var needsTLS: Self {
    #if TLS
      .enabled(if: true)
    #else
      .disabled("this build has no TLS")
    #endif
  }

  /// For what only such a build does.
  public static var needsNoTLS: Self {
    #if TLS
      .disabled("this build has TLS")
    #else
      .enabled(if: true)
    #endif
  }
}
