import ArgumentParser
import Sluice

/// `sluice check`
struct CheckCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "check",
    abstract: "Show what this kernel, your privileges and a process support.",
    discussion: """
      Prints one line for each thing that matters: whether it is there, what Sluice does without it, and how to get it. \
      With -t and -D it also finds out whether a pre-dump of that process into that directory would work. Exit code 0 if \
      a pre-dump would work, otherwise the code it would fail with.

      Nothing is done to the process. A file is made in the directory, or in the one above if the directory does not exist \
      yet, and removed again.
      """)

  @Option(
    name: [.customShort("t"), .customLong("tree")],
    parsing: .unconditional, help: ArgumentHelp("The process to copy.", valueName: "pid"))
  var pid: Int32?

  @Option(
    name: [.customShort("D"), .long],
    help: ArgumentHelp("Where the images would go.", valueName: "dir"),
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
    guard json ? Terminal.json(output) : Terminal.data(output.text, hanging: output.hanging) else {
      throw CommandFailure.outputFailed
    }
    if let failure = capabilities.failure { throw CommandFailure.report(failure) }
  }
}

/// What was found, for people and as JSON (in snake_case).
private struct CheckOutput: Encodable {
  /// What was looked at.
  let findings: [Capabilities.Finding]
  /// What a pre-dump would fail with; nil where it would work.
  let failure: String?
  /// The exit code of a pre-dump: 0 where it would work.
  let exitCode: Int32

  init(_ capabilities: Capabilities) {
    findings = capabilities.findings
    failure = capabilities.failure?.message
    exitCode = capabilities.failure.map { ExitCode($0.code).rawValue } ?? 0
  }

  private var width: Int { findings.map(\.subject.rawValue.count).max() ?? 0 }

  /// The column that the third column of text begins at.
  var hanging: Int { width + 7 }

  var text: String {
    let width = width
    let lines = findings.map { finding in
      let name = finding.subject.rawValue
      let subject = name + String(repeating: " ", count: width - name.count)
      let word = finding.word + String(repeating: " ", count: 3 - finding.word.count)
      return "\(subject)  \(word)  \(finding.text)"
    }
    // Where one would not, a message says why.
    return (lines + (failure == nil ? ["OK: a pre-dump works here"] : [])).joined(separator: "\n")
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
