import ArgumentParser
import Sluice

/// `sluice check`
struct CheckCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "check",
    abstract: "Tell what this kernel, these privileges and a process allow.",
    discussion: """
      A line for each thing that matters: whether it is there, what Sluice does without it, and how to get it. \
      With a process and a directory it is also told whether a pre-dump of the one into the other would work; \
      the exit code is 0 if it would, or else the one that it would end with.

      Nothing is done to the process. In the directory, or the one above if it is not there yet, a file is made \
      and removed again.
      """)

  @Option(
    name: [.customShort("t"), .customLong("tree")],
    help: ArgumentHelp("The process that is to be copied.", valueName: "pid"))
  var pid: Int32?

  @Option(
    name: [.customShort("D"), .long],
    help: ArgumentHelp("Where the images are to go.", valueName: "dir"),
    completion: .directory)
  var imagesDir: String?

  @Flag(help: "Print it as one JSON object.")
  var json = false

  func run() throws {
    let capabilities = Capabilities(pid: pid, imagesDirectory: imagesDir)
    let output = CheckOutput(capabilities)
    guard json ? Terminal.json(output) : Terminal.data(output.text) else { throw CommandFailure.outputFailed }
    if let failure = capabilities.failure { throw CommandFailure.report(failure) }
  }
}

/// What was found, for people and as JSON (in snake_case).
private struct CheckOutput: Encodable {
  struct Finding: Encodable {
    let subject: String
    let available: Bool?
    let found: String
    let fallback: String?
    let advice: String?

    /// Whether it is there, in a word.
    var word: String {
      switch available {
      case true?: "yes"
      case false?: "no"
      case nil: "?"
      }
    }

    var text: String {
      let fallback = fallback.map { "; \($0)" } ?? ""
      let advice = advice.map { "; to have it: \($0)" } ?? ""
      return found + fallback + advice
    }
  }

  let findings: [Finding]
  /// What a pre-dump would fail with, and its exit code.
  let failure: String?
  let exitCode: Int32

  init(_ capabilities: Capabilities) {
    findings = capabilities.findings.map {
      Finding(
        subject: $0.subject.rawValue, available: $0.isAvailable, found: $0.found, fallback: $0.fallback,
        advice: $0.advice)
    }
    failure = capabilities.failure?.message
    exitCode = capabilities.failure.map { ExitCode($0.code).rawValue } ?? 0
  }

  var text: String {
    let width = findings.map(\.subject.count).max() ?? 0
    return findings.map { finding in
      let subject = finding.subject + String(repeating: " ", count: width - finding.subject.count)
      let word = finding.word + String(repeating: " ", count: 3 - finding.word.count)
      return "\(subject)  \(word)  \(finding.text)"
    }.joined(separator: "\n")
  }
}
