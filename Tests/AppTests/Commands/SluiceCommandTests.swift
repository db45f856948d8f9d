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
    for code in ["64", "65", "66", "71", "73", "74", "75", "77", "124", "129", "130", "141", "143"] {
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
    ["pre-dump", "-t", "1", "-D", "/nowhere", "--readers", "0=200,1=57"],
    ["pre-dump", "-t", "1", "-D", "/nowhere", "--readers", "0=1", "--numa", "off"],
    ["pre-dump", "-t", "1", "-D", "/nowhere", "--numa", "on"],
    ["pre-dump", "-t", "1", "-D", "/nowhere", "--queue-depth", "0"],
    ["pre-dump", "-t", "1", "-D", "/nowhere", "--stop-readers", "0"],
    ["pre-dump", "-t", "1", "-D", "/nowhere", "--stop-readers", "some"],
    ["pre-dump", "-t", "1", "-D", "/nowhere", "--rounds", "2", "--max-stop", "5"],
    ["pre-dump", "-t", "1", "-D", "/nowhere", "--final", "--max-stop", "0"],
    ["pre-dump", "-t", "1", "-D", "/nowhere", "--final", "--if-not-converging", "fail"],
    ["pre-dump", "-t", "1", "-D", "/nowhere", "--final", "--max-stop", "5", "--if-not-converging", "wait"],
    ["pre-dump", "-t", "1", "-D", "/nowhere", "--io", "sideways"],
    ["pre-dump", "-t", "1", "-D", "/nowhere", "--progress", "loud"],
    ["pre-dump", "-t", "1", "-D", "/nowhere", "--memory-budget"],
    ["show"], ["show", "/nowhere", "more"],
  ])
  func refusesWrongUsage(arguments: [String]) async throws {
    let result = try await SluiceCommandLine.run(arguments)
    let command = ["pre-dump", "show"].contains(arguments[0]) ? "sluice \(arguments[0])" : "sluice"
    expectFailure(result, code: 64, saying: "(see '\(command) --help')")
  }

  /// A number below 0 is no other option: it is said what the number may be, or at least which is not taken.
  @Test(arguments: [
    ("--rounds", "--rounds must be at least 1"), ("--readers", "--readers"),
    ("--queue-depth", "--queue-depth"), ("--stop-readers", "--stop-readers"),
    ("--timeout", "--timeout must be above 0"),
    ("--stop-timeout", "--stop-timeout must be from"),
    ("--until-skipped", "--until-skipped must be from 0 to 100"),
    ("--max-time", "--max-time must be at least 0"),
    ("--until-pages", "The value '-1' is invalid for '--until-pages <pages>'"),
    ("--max-growth", "The value '-1' is invalid for '--max-growth <pages>'"),
    ("--memory-budget", "The value '-1' is invalid for '--memory-budget <size>'"),
    ("--max-rate", "The value '-1' is invalid for '--max-rate <size>'"),
  ])
  func refusesNumbersBelowZero(option: String, words: String) async throws {
    let result = try await SluiceCommandLine.run(["pre-dump", "-t", "1", "-D", "/nowhere", option, "-1"])
    expectFailure(result, code: 64, saying: words)
    #expect(!result.errors.contains("Missing value"), "\(result.errors)")
  }

  /// Whoever has mistyped something is told what was meant.
  @Test(arguments: [
    (["predump", "-t", "1", "-D", "x"], "no command 'predump': did you mean 'pre-dump'?"),
    (["hsow", "x"], "no command 'hsow': did you mean 'show'?"), (["hlep"], "did you mean 'help'?"),
    (["dump", "-t", "1", "-D", "x"], "no command 'dump': that is 'criu dump'"),
    (["restore", "-D", "x"], "that is 'criu restore'"),
    (["nonsense"], "the commands are pre-dump, show"),
    (["help", "nope"], "no command 'nope'"),
    (["help", "verfy"], "did you mean 'verify'?"),
    (["-t", "1"], "name the command first, such as 'sluice pre-dump -t'"),
    (["pre-dump", "4711", "-D", "x"], "the process is named by -t: write '-t 4711'"),
    (["pre-dump", "-D", "x"], "-t is missing"),
    (["pre-dump", "-t", "redis", "-D", "x"], "a pid is a number, such as 4711"),
    (["pre-dump", "--pid", "4711", "-D", "x"], "no option --pid: name the process by -t"),
    (["pre-dump", "-t", "1"], "--images-dir <dir> is missing"),
    (["pre-dump", "-t", "1", "-D", "x", "--memory-buget", "1M"], "Did you mean '--memory-budget'?"),
    (["pre-dump", "-t", "1", "-D", "x", "--memory-budget", "16X"], "such as 16M, 16Mi or 1.5G"),
    (["pre-dump", "-t", "1", "-D", "x", "--tracker", "softdirty"], "did you mean 'soft-dirty'?"),
    (
      ["pre-dump", "-t", "1", "-D", "x", "--tracker", "zzz"],
      "one of auto, soft-dirty, write-protect, both, content"
    ),
    (
      ["pre-dump", "-t", "1", "-D", "x", "--progress", "jsn"], "one of auto, json, none; did you mean 'json'?"
    ),
    (["pre-dump", "-t", "1", "-D", "x", "--max-time", "3"], "--max-time needs --rounds"),
    (["pre-dump", "-t", "1", "-D", "x", "--until-pages", "5"], "--until-pages needs --rounds"),
  ])
  func tellsWhatWasMeant(arguments: [String], words: String) async throws {
    expectFailure(try await SluiceCommandLine.run(arguments), code: 64, saying: words, "--help')")
  }
}
