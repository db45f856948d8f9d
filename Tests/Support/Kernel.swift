import Foundation

/// What the kernel that the tests run on can do, judged by its version alone.
public enum Kernel {
  /// Whether it is this version or a later one.
  public static func isAtLeast(_ major: Int, _ minor: Int) -> Bool {
    let version = ProcessInfo.processInfo.operatingSystemVersion
    return (version.majorVersion, version.minorVersion) >= (major, minor)
  }
}
