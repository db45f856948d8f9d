import Foundation
import SluiceTestSupport
import Testing

@testable import sluice

@Suite struct CriuOptionTests {
  /// The long options of criu 3.17.1, as its answers to wrong ones tell: `=` where a value follows, `[=]` where only an
  /// attached one does.
  private static let names = """
    action-script= address= all auto-dedup cgroup-dump-controller= cgroup-props-file= cgroup-props=
    cgroup-root= cgroup-yard= close= config= cpu-cap[=] daemon deprecated display-stats empty-ns=
    enable-external-masters enable-external-sharing enable-fs= evasive-devices exec-cmd experimental
    ext-mount-map= ext-unix-sk[=] external= extra feature= file-locks file-validation= force-irmap
    freeze-cgroup= ghost-limit= help images-dir= inherit-fd= irmap-scan-path= join-ns= lazy-pages
    leave-running leave-stopped libdir= link-remap log-file= log-pid lsm-mount-context= lsm-profile=
    manage-cgroups[=] mntns-compat-mode ms network-lock= no-auto-dedup no-daemon no-default-config
    no-deprecated no-display-stats no-evasive-devices no-experimental no-extra no-file-locks no-force-irmap
    no-link-remap no-log-pid no-mntns-compat-mode no-page-server no-restore-detached no-restore-sibling
    no-shell-job no-skip-in-flight no-stream no-tcp-close no-tcp-established no-tls no-track-mem
    no-weak-sysctls page-server pidfile= port= pre-dump-mode= prev-images-dir= ps-socket= restore-detached
    restore-sibling root= shell-job skip-in-flight skip-mnt= status-fd= stream tcp-close tcp-established
    timeout= tls tls-cacert= tls-cacrl= tls-cert= tls-key= tls-no-cn-verify track-mem tree= verbosity[=]
    version veth-pair= weak-sysctls work-dir=
    """
  /// Those that 4.2 has beside.
  private static let newNames = """
    allow-uprobes ghost-fiemap no-allow-uprobes no-ghost-fiemap no-skip-file-rwx-check no-unprivileged
    skip-file-rwx-check unprivileged
    """
  /// Letters of both: `:` where a value follows, `::` where only an attached one does.
  private static let letters = "d h j l o: r: s t: v:: x:: D: J: L: M: R S V W:"

  private static var listed: [(name: String, value: CriuOption.Value)] {
    (names + "\n" + newNames).split(whereSeparator: \.isWhitespace).map { word in
      if word.hasSuffix("[=]") { return (String(word.dropLast(3)), .optional) }
      if word.hasSuffix("=") { return (String(word.dropLast()), .required) }
      return (String(word), .none)
    }
  }

  @Test func `every option of CRIU's is known, with its value`() throws {
    for (name, value) in Self.listed {
      let found = try #require(CriuOption.named(name, abbreviated: false), "--\(name)")
      #expect(found.option.name == (found.isTakenBack ? String(name.dropFirst(3)) : name))
      #expect((found.isTakenBack ? CriuOption.Value.none : found.option.value) == value, "--\(name)")
    }
  }

  @Test func `no other is`() {
    let listed = Set(Self.listed.map(\.name))
    for option in CriuOption.all {
      #expect(listed.contains(option.name), "--\(option.name)")
      #expect(listed.contains("no-\(option.name)") == (option.hasNo || option.name == "default-config"))
    }
    #expect(Set(CriuOption.all.map(\.name)).count == CriuOption.all.count)
  }

  @Test func `every letter is known`() throws {
    let letters = Self.letters.split(separator: " ")
    for word in letters {
      let option = try #require(word.first.flatMap(CriuOption.letter), "-\(word)")
      let value: CriuOption.Value = word.hasSuffix("::") ? .optional : word.hasSuffix(":") ? .required : .none
      // --restore-detached and --daemon share theirs.
      #expect(option.value == value, "-\(word)")
    }
    #expect(CriuOption.all.compactMap(\.letter).count == letters.count)
  }

  /// Whatever version is installed.
  @Test func `every option that the installed CRIU's help names is known`() async throws {
    let help = try await Command(installed: "criu", ["--help"]).run().output
    let names = try Regex("--([a-z][a-z-]*[a-z])")
    var count = 0
    for match in help.matches(of: names) {
      let name = String(match.output[1].substring ?? "")
      // It speaks of them as a kind.
      guard name != "no" else { continue }
      #expect(CriuOption.named(name, abbreviated: false) != nil, "--\(name)")
      count += 1
    }
    #expect(count > 50)
  }
}
