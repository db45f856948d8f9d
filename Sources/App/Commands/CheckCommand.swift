import ArgumentParser
import Sluice

/// `sluice check`
struct CheckCommand: AsyncParsableCommand {
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
    parsing: .unconditional, help: ArgumentHelp("The process that is to be copied.", valueName: "pid"))
  var pid: Int32?

  @Option(
    name: [.customShort("D"), .long],
    help: ArgumentHelp("Where the images are to go.", valueName: "dir"),
    completion: .directory)
  var imagesDir: String?

  @Flag(help: "Print it as one JSON object.")
  var json = false

  func run() async throws {
    let capabilities: Capabilities
    do throws(SluiceError) {
      capabilities = try await Capabilities.find(for: pid, imagesDirectory: imagesDir)
    } catch {
      throw CommandFailure.report(error)
    }
    let output = CheckOutput(capabilities)
    guard json ? Terminal.json(output) : Terminal.data(output.text) else { throw CommandFailure.outputFailed }
    if let failure = capabilities.failure { throw CommandFailure.report(failure) }
  }
}

/// What was found, for people and as JSON (in snake_case).
private struct CheckOutput: Encodable {
  let findings: [Capabilities.Finding]
  /// What a pre-dump would fail with, and its exit code.
  let failure: String?
  let exitCode: Int32

  init(_ capabilities: Capabilities) {
    findings = capabilities.findings
    failure = capabilities.failure?.message
    exitCode = capabilities.failure.map { ExitCode($0.code).rawValue } ?? 0
  }

  var text: String {
    let width = findings.map(\.subject.rawValue.count).max() ?? 0
    return findings.map { finding in
      let name = finding.subject.rawValue
      let subject = name + String(repeating: " ", count: width - name.count)
      let word = finding.word + String(repeating: " ", count: 3 - finding.word.count)
      return "\(subject)  \(word)  \(finding.text)"
    }.joined(separator: "\n")
  }
}

extension Capabilities.Finding {
  /// Whether it is there, in a word.
  fileprivate var word: String {
    switch isAvailable {
    case true?: "yes"
    case false?: "no"
    case nil: "?"
    }
  }

  fileprivate var text: String {
    let fallback = fallback.map { "; \($0)" } ?? ""
    let advice = advice.map { "; to have it: \($0)" } ?? ""
    return found + fallback + advice
  }
}
