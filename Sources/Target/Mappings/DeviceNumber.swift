/// The number of a device. Every mounted filesystem has one, those without a disk too.
public struct DeviceNumber: Hashable, Sendable {
  /// What kind of device.
  public let major: UInt32
  /// Which of them.
  public let minor: UInt32

  init(major: UInt32, minor: UInt32) {
    self.major = major
    self.minor = minor
  }

  /// Nil for numbers that the kernel does not give.
  init?(major: UInt64, minor: UInt64) {
    guard let major = UInt32(exactly: major), let minor = UInt32(exactly: minor) else { return nil }
    self.init(major: major, minor: minor)
  }
}
