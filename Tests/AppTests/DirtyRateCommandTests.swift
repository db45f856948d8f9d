import Foundation
import SluiceTestSupport
import Testing

@testable import sluice

/// What it measures is tried in the guest of Tests/Interop, whose kernels keep soft-dirty bits.
@Suite("sluice dirty-rate", .timeLimit(.minutes(5)))
struct DirtyRateCommandTests {
  /// The bits of a process are cleared by nobody who was not told to; without them nothing is measured.
  @Test func clearsNothingUnasked() async throws {
    let hasSoftDirty = try await SluiceCommandLine.run(["check", "--json"])
    let isKept = hasSoftDirty.output.contains(#""available":true,"found":"the kernel keeps"#)
    try await MemoryTarget.run(["--size", "1M"]) { target in
      let refused = try await SluiceCommandLine.run(["dirty-rate", "-t", "\(target.pid)", "--seconds", "0.1"])
      expectFailure(
        refused, code: refused.errors.contains("CONFIG_MEM_SOFT_DIRTY") && !isKept ? 71 : 64,
        saying: "soft-dirty", "\(target.pid)")
      try await target.check()
    }
  }

  @Test(arguments: [
    (["--seconds", "0"], "--seconds"), (["--seconds", "86401"], "--seconds"),
    (["--seconds", "nan"], "--seconds"),
    (["--copy-rate", "0"], "--copy-rate"), (["--rounds", "0"], "--rounds"),
  ])
  func refusesWhatCannotBeMeant(options: [String], word: String) async throws {
    expectFailure(
      try await SluiceCommandLine.run(["dirty-rate", "-t", "1", "--clear-soft-dirty"] + options), code: 64,
      saying: word)
  }

  @Test func refusesWhatIsNoProcess() async throws {
    expectFailure(
      try await SluiceCommandLine.run(["dirty-rate", "-t", "4000000", "--clear-soft-dirty"]), code: 66,
      saying: "there is no process 4000000")
  }
}
