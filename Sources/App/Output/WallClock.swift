import Glibc

/// Times of the day, as people and programs read them.
enum WallClock {
  /// A moment in the calendar.
  private struct Parts {
    let (year, month, day): (Int, Int, Int)
    let (hour, minute, second): (Int, Int, Int)

    /// - Parameter isUTC: or else where the machine is.
    init(secondsSince1970: Int, isUTC: Bool) {
      var seconds = time_t(secondsSince1970)
      var parts = unsafe tm()
      if isUTC { unsafe gmtime_r(&seconds, &parts) } else { unsafe localtime_r(&seconds, &parts) }
      unsafe (year, month, day) = (Int(parts.tm_year) + 1900, Int(parts.tm_mon) + 1, Int(parts.tm_mday))
      unsafe (hour, minute, second) = (Int(parts.tm_hour), Int(parts.tm_min), Int(parts.tm_sec))
    }

    var date: String { "\(year)-\(padded(month, 2))-\(padded(day, 2))" }
    var clock: String { "\(padded(hour, 2)):\(padded(minute, 2)):\(padded(second, 2))" }
  }

  /// In UTC, to the millisecond, as RFC 3339 has it: 2026-11-30T16:46:10.123Z.
  static func utc(_ time: timespec) -> String {
    let parts = Parts(secondsSince1970: time.tv_sec, isUTC: true)
    return "\(parts.date)T\(parts.clock).\(padded(time.tv_nsec / 1_000_000, 3))Z"
  }

  /// This moment, in UTC.
  static var now: String { utc(time(CLOCK_REALTIME)) }

  /// Where the machine is, to the second: 2026-11-30 17:46:10.
  static func local(secondsSince1970 seconds: Int) -> String {
    let parts = Parts(secondsSince1970: seconds, isUTC: false)
    return "\(parts.date) \(parts.clock)"
  }

  /// The time of the day of a moment so many seconds after the machine started.
  static func local(secondsSinceBoot seconds: Int) -> String {
    let (now, boot) = (time(CLOCK_REALTIME), time(CLOCK_BOOTTIME))
    // To the nearest second: the two are not read at the same moment, and the same images are of the same time.
    let nanoseconds = (now.tv_sec - boot.tv_sec) * 1_000_000_000 + now.tv_nsec - boot.tv_nsec
    return local(secondsSince1970: (nanoseconds + 500_000_000) / 1_000_000_000 + seconds)
  }

  private static func time(_ clock: clockid_t) -> timespec {
    var time = timespec()
    unsafe clock_gettime(clock, &time)
    return time
  }

  private static func padded(_ number: Int, _ digits: Int) -> String {
    let text = "\(number)"
    return String(repeating: "0", count: max(0, digits - text.count)) + text
  }
}
