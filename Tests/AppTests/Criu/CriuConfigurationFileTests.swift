import Foundation
import SluiceTestSupport
import Testing

@testable import sluice

@Suite struct CriuConfigurationFileTests {
  @Test(arguments: [
    ("tcp-established", ["--tcp-established"]), ("log-file /x", ["--log-file", "/x"]),
    ("log-file=/x", ["--log-file=/x"]), ("  log-file\t/x  ", ["--log-file", "/x"]),
    ("log-file \"from etc\" # why", ["--log-file", "from etc"]), ("log-file /x#why", ["--log-file", "/x"]),
    ("log-file \"a\\\"b\"", ["--log-file", "a\"b"]), ("# tcp-close", []), ("", []), ("\n\n \n", []),
    ("tcp-close # so\ntimeout 5", ["--tcp-close", "--timeout", "5"]),
  ])
  func `a line has an option and its value`(text: String, arguments: [String]) throws {
    #expect(try CriuConfigurationFile(text: text).arguments == arguments)
  }

  @Test(arguments: ["log-file /x y", "log-file = /x", "log-file=\"a b\" c"])
  func `other lines are not understood`(text: String) {
    #expect(throws: CriuConfigurationFile.Malformed.self) { try CriuConfigurationFile(text: text) }
  }

  private func translated(
    _ arguments: String, for caller: CriuOptions.Caller, _ files: [String: String],
    configuration: String? = nil
  ) throws -> String {
    try CriuOptions(
      arguments.split(separator: " ").map(String.init), for: caller,
      in: CriuOptions.Surroundings(
        home: "/users/me", configuration: configuration, read: { files[$0] }, freezes: { _ in true })
    ).arguments.joined(separator: " ")
  }

  private static let files = [
    "/etc/criu/default.conf": "# ours\ntcp-established\nlog-file etc # why\nwork-dir /w\n",
    "/users/me/.criu/default.conf": "log-file home\ntimeout=5", "environment.conf": "log-file environment",
    "extra.conf": "pre-dump-mode read\nimages-dir /from/file\nlog-fi extra",
  ]

  @Test func `they are read in CRIU's order`() throws {
    let files = Self.files
    #expect(
      try translated("-t 1", for: .sluice, files)
        == "--log-file=home --work-dir=/w --stop-timeout=5 --tree=1")
    #expect(
      try translated("-t 1 -o own", for: .sluice, files)
        == "--log-file=own --work-dir=/w --stop-timeout=5 --tree=1")
    #expect(try translated("--no-default-config -t 1", for: .sluice, files) == "--tree=1")
    #expect(
      try translated("-t 1", for: .sluice, files, configuration: "environment.conf")
        == "--log-file=environment --work-dir=/w --stop-timeout=5 --tree=1")
    // One that is named stands for those that are always looked for.
    #expect(
      try translated("--config extra.conf -t 1", for: .sluice, files, configuration: "environment.conf")
        == "--log-file=extra --images-dir=/from/file --tree=1")
    #expect(
      try translated("--config=extra.conf pre-dump -t 1 -D d", for: .criu, files)
        == "--images-dir=d --log-file=extra --tree=1")
  }

  @Test func `an engine's file goes before what the engine asks for`() throws {
    #expect(
      try translated(
        "-t 1 -D d --log-file=own", for: .engine(configuration: "extra.conf"),
        ["extra.conf": "log-file extra\nauto-dedup"])
        == "--tree=1 --images-dir=d --log-file=extra --auto-dedup")
  }

  @Test func `what is in one and unknown is CRIU's in its place`() throws {
    let files = [
      "/etc/criu/default.conf": "unknown-to-us 7\n", "odd.conf": "log-file a b", "lazy.conf": "lazy-pages",
    ]
    #expect(try translated("-t 1", for: .sluice, files) == "--tree=1")
    for caller in [CriuOptions.Caller.criu, .engine(configuration: nil)] {
      let verb = if case .criu = caller { "pre-dump " } else { "" }
      #expect(throws: CriuOptions.Problem.self) { try translated("\(verb)-t 1", for: caller, files) }
      for file in ["odd.conf", "lazy.conf"] {
        #expect(throws: CriuOptions.Problem.self) {
          try translated("\(verb)-t 1 --config \(file)", for: caller, files)
        }
      }
    }
  }

  @Test func `a device and a pipe are files too`() async throws {
    #expect(CriuConfigurationFile.read("/dev/null") == "")
    #expect(CriuConfigurationFile.read("/nowhere") == nil)
    #expect(CriuConfigurationFile.read("/tmp") == nil)
    // Without end.
    #expect(CriuConfigurationFile.read("/dev/zero") == nil)
    var ends: [Int32] = [-1, -1]
    #expect(unsafe pipe(&ends) == 0)
    #expect(unsafe write(ends[1], "tcp-close", 9) == 9)
    close(ends[1])
    #expect(CriuConfigurationFile.read("/proc/self/fd/\(ends[0])") == "tcp-close")
    close(ends[0])
  }
}
