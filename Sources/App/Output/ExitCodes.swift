import ArgumentParser
import Sluice

/// The exit codes of the command, those of sysexits.h where it has one.
extension ExitCode {
  init(_ code: SluiceError.Code) {
    switch code {
    case .invalidArgument: self.init(64)
    case .malformedImages: self.init(65)
    case .notFound: self.init(66)
    case .system, .notTrackable: self.init(71)
    case .cannotCreate: self.init(73)
    case .io, .hiddenMemory: self.init(74)
    case .targetGone, .stoppedTooLong, .notConverging: self.init(75)
    case .notPermitted: self.init(77)
    // A cancellation has a cause, which has a code of its own; without one this cannot be told.
    case .cancelled: self.init(71)
    }
  }

  /// As a shell reports a program that a signal has ended, and timeout(1) one that took too long.
  init(_ cause: CancellationCause) {
    switch cause {
    case .signal(let number): self.init(128 + number)
    case .timeout: self.init(124)
    }
  }
}
