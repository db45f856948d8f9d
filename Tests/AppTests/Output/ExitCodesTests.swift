import ArgumentParser
import Sluice
import Testing

@testable import sluice

@Suite("Exit codes", .timeLimit(.minutes(15)))
struct ExitCodesTests {
  /// As the help of the command says them.
  static let codes: [(code: SluiceError.Code, number: Int32)] = [
    (SluiceError.Code.invalidArgument, 64), (.malformedImages, 65), (.notFound, 66), (.system, 71),
    (.cannotCreate, 73), (.io, 74), (.targetGone, 75), (.notPermitted, 77), (.cancelled, 71),
  ]

  @Test(arguments: codes)
  func tellTheKindsOfFailureApart(code: SluiceError.Code, number: Int32) {
    #expect(ExitCode(code).rawValue == number)
  }

  @Test func tellTheSignalAsAShellDoes() {
    #expect(ExitCode(.signal(2)).rawValue == 130)
    #expect(ExitCode(.signal(15)).rawValue == 143)
  }

  @Test func tellTheTimeoutAsTimeoutDoes() {
    #expect(ExitCode(.timeout).rawValue == 124)
  }
}
