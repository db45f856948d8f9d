import SluiceTestSupport
import Testing

@Suite("sluice", .timeLimit(.minutes(15)))
struct SluiceCommandTests {
  @Test(arguments: [
    ["--help"], ["-h"], ["pre-dump", "--help"], ["show", "--help"], ["check", "--help"], ["help"], [],
  ])
  func explainsItself(arguments: [String]) async throws {
    let result = try await SluiceCommandLine.run(arguments)
    #expect(result.end == .exited(0))
    #expect(result.output.contains("USAGE: sluice"))
    #expect(result.errors.isEmpty)
  }

  @Test func tellsItsExitCodes() async throws {
    let help = try await SluiceCommandLine.run(["--help"]).output
    for code in ["64", "65", "66", "71", "73", "74", "75", "77", "124", "129", "130", "143"] {
      #expect(help.contains(code))
    }
  }

  @Test func tellsItsVersion() async throws {
    let result = try await SluiceCommandLine.run(["--version"])
    #expect(result.end == .exited(0))
    let parts = result.output.dropLast().split(separator: ".")
    #expect(parts.count == 3 && parts.allSatisfy { Int($0) != nil }, "\(result.output)")
  }

  @Test(arguments: [
    ["nonsense"], ["--nonsense"], ["pre-dump"], ["pre-dump", "-t", "1"], ["pre-dump", "-D", "/nowhere"],
    ["pre-dump", "-t", "one", "-D", "/nowhere"], ["pre-dump", "-t", "99999999999", "-D", "/nowhere"],
    ["pre-dump", "-t", "1", "-D", "/nowhere", "--nonsense"],
    ["pre-dump", "-t", "1", "-D", "/nowhere", "more"],
    ["pre-dump", "-t", "1", "-D", "/nowhere", "--readers", "0"],
    ["pre-dump", "-t", "1", "-D", "/nowhere", "--readers", "257"],
    ["pre-dump", "-t", "1", "-D", "/nowhere", "--queue-depth", "0"],
    ["pre-dump", "-t", "1", "-D", "/nowhere", "--io", "sideways"],
    ["pre-dump", "-t", "1", "-D", "/nowhere", "--progress", "loud"],
    ["show"], ["show", "/nowhere", "more"],
  ])
  func refusesWrongUsage(arguments: [String]) async throws {
    let result = try await SluiceCommandLine.run(arguments)
    let command = ["pre-dump", "show"].contains(arguments[0]) ? "sluice \(arguments[0])" : "sluice"
    expectFailure(result, code: 64, saying: "(see '\(command) --help')")
  }
}
