import Testing

@testable import Sluice

@Suite("Round watch")
struct WriteProtectModeTests {
  @Test func devicesHaveAFifthOfASecond() {
    #expect(WriteProtectMode.timeLeft(since: 1000, now: 1000) == 200_000_000)
    #expect(WriteProtectMode.timeLeft(since: 1000, now: 150_001_000) == 50_000_000)
    #expect(WriteProtectMode.timeLeft(since: 1000, now: 200_001_000) == 0)
    #expect(WriteProtectMode.timeLeft(since: 1000, now: 900_000_000) == 0)
  }
}
