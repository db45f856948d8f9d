import Foundation
import SluiceTestSupport
import Testing

/// Expects the command to have failed with this code and one line that says why.
func expectFailure(
  _ result: CommandResult, code: Int32, saying words: String...,
  sourceLocation: SourceLocation = #_sourceLocation
) {
  #expect(result.end == .exited(code), "\(result.errors)", sourceLocation: sourceLocation)
  #expect(result.output.isEmpty, sourceLocation: sourceLocation)
  #expect(result.errorLines.count == 1, "\(result.errors)", sourceLocation: sourceLocation)
  #expect(result.errors.hasPrefix("sluice: "), "\(result.errors)", sourceLocation: sourceLocation)
  #expect(result.errors.hasSuffix("\n"), sourceLocation: sourceLocation)
  for word in words {
    #expect(result.errors.contains(word), "\(result.errors)", sourceLocation: sourceLocation)
  }
}

/// The one JSON object that a command has printed.
func jsonObject(_ text: String) throws -> [String: Any] {
  #expect(text.hasSuffix("\n"))
  #expect(text.split(separator: "\n").count == 1, "one object, on one line")
  return try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
}
