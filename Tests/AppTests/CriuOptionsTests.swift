import Testing

@testable import sluice

@Suite struct CriuOptionsTests {
  private func translated(
    _ arguments: String, files: [String: String] = [:]
  ) throws -> String {
    let options = try CriuOptions(
      arguments.split(separator: " ").map(String.init), home: "/users/me", read: { files[$0] })
    return options.arguments.joined(separator: " ")
  }

  @Test(arguments: [
    // As runc, LXC and scripts call it.
    (
      "-t 12 -D /images --prev-images-dir ../1 --track-mem -v4 -o log --tcp-established --shell-job -j",
      "-t 12 -D /images --prev-images-dir ../1 -v -v -o log"
    ),
    (
      "--tree 12 --images-dir d --external mnt[/x]:y --ghost-limit=1M --manage-cgroups=full -l --leave-running",
      "--tree 12 --images-dir d"
    ),
    ("-v0 -t 1", "-t 1"), ("-v3 -t 1", "-v -t 1"), ("-v -t 1", "-v -t 1"),
    ("--no-tcp-established --no-track-mem -t 1", "-t 1"),
    ("--pre-dump-mode read -t 1 --pre-dump-mode=splice", "-t 1"),
    ("--pidfile p -t 1", "--pid-file p -t 1"),
    ("--network-lock iptables --cgroup-root x -L lib -t 1", "-t 1"),
    // Sluice's own stay as they are.
    ("--rounds 3 --no-sync --memory-budget=16M -t 1", "--rounds 3 --no-sync --memory-budget=16M -t 1"),
    ("--unheard-of -t 1", "--unheard-of -t 1"),
  ])
  func `CRIU's options are understood or left out`(given: String, ours: String) throws {
    #expect(try translated(given) == ours)
  }

  @Test func `a cgroup that cannot be frozen is left out`() throws {
    let given = "--freeze-cgroup /old -t 1 --freeze-cgroup=/old --freeze-cgroup /new --freeze-cgroup=/new"
    let options = try CriuOptions(
      given.split(separator: " ").map(String.init), home: nil, freezes: { $0 == "/new" }, read: { _ in nil })
    #expect(options.arguments == ["-t", "1", "--freeze-cgroup", "/new", "--freeze-cgroup=/new"])
  }

  @Test func `configuration files hold long options without dashes`() throws {
    let files = [
      "/etc/criu/default.conf": "# ours\ntcp-established\nlog-file \"from etc\" # why\n\nunknown-to-us 7\n",
      "/users/me/.criu/default.conf": "timeout=5",
      "extra.conf": "pre-dump-mode read\nimages-dir /from/file",
    ]
    #expect(try translated("-t 1", files: files) == "--log-file from etc --timeout 5 -t 1")
    #expect(try translated("--no-default-config -t 1", files: files) == "-t 1")
    #expect(
      try translated("--no-default-config --config extra.conf -t 1", files: files)
        == "--images-dir /from/file -t 1")
  }

  @Test(arguments: [
    "--page-server --address x", "--lazy-pages", "--config /nowhere", "--pre-dump-mode tape", "-s",
  ])
  func `what cannot be done is refused`(given: String) {
    #expect(throws: CriuOptions.Problem.self) { try translated(given) }
  }
}
