import Glibc
import Testing

@testable import sluice

@Suite struct WallClockTests {
  @Test func `a moment in UTC is as RFC 3339 has it`() {
    #expect(WallClock.utc(timespec(tv_sec: 0, tv_nsec: 0)) == "1970-01-01T00:00:00.000Z")
    // A leap day.
    #expect(WallClock.utc(timespec(tv_sec: 1_709_210_096, tv_nsec: 7_999_999)) == "2024-02-29T12:34:56.007Z")
  }

  @Test func `a moment after the machine's start is a time of the day`() {
    var boot = timespec()
    unsafe clock_gettime(CLOCK_BOOTTIME, &boot)
    let now = WallClock.local(secondsSinceBoot: boot.tv_sec)
    #expect(now.count == "2026-11-30 17:46:10".count)
    let known = (-2...2).map { WallClock.local(secondsSince1970: time(nil) + $0) }
    #expect(known.contains(now))
  }

  @Test func `one is counted in the singular`() {
    #expect(Counted.text(1, "page") == "1 page")
    #expect(Counted.text(0, "page") == "0 pages")
    #expect(Counted.text(2, "directory", "directories") == "2 directories")
  }
}
