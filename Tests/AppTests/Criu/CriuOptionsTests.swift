import Testing

@testable import sluice

@Suite struct CriuOptionsTests {
  private func options(
    _ arguments: String, for caller: CriuOptions.Caller = .sluice, files: [String: String] = [:],
    configuration: String? = nil
  ) throws -> CriuOptions {
    try CriuOptions(
      arguments.split(separator: " ").map(String.init), for: caller,
      in: CriuOptions.Surroundings(
        home: "/users/me", configuration: configuration, read: { files[$0] }, freezes: { $0 == "/new" }))
  }

  private func translated(
    _ arguments: String, for caller: CriuOptions.Caller = .sluice, files: [String: String] = [:],
    configuration: String? = nil
  ) throws -> String {
    try options(arguments, for: caller, files: files, configuration: configuration)
      .arguments.joined(separator: " ")
  }

  @Test(arguments: [
    // As runc, LXC and scripts call it.
    (
      "-t 12 -D /images --prev-images-dir ../1 --track-mem -v4 -o log --tcp-established --shell-job -j",
      "--tree=12 --images-dir=/images --prev-images-dir=../1 --log-file=log -v -v"
    ),
    (
      "--tree 12 --images-dir d --external mnt[/x]:y --ghost-limit=1M --manage-cgroups=full -l --leave-running",
      "--tree=12 --images-dir=d"
    ),
    ("--no-tcp-established --no-track-mem -t 1", "--tree=1"),
    ("--pre-dump-mode read -t 1 --pre-dump-mode=splice", "--tree=1"),
    ("--pidfile p -t 1", "--tree=1"), ("-t 1 --pidfile=p", "--tree=1"),
    ("--network-lock iptables --cgroup-root x -L lib -t 1", "--tree=1"),
    ("--root / -r / --status-fd 7 --ghost-fiemap --inherit-fd fd[3]:x --veth-pair a=b -t 1", "--tree=1"),
    ("--daemon --close 9 --skip-file-rwx-check --port 9 --address h --tls -t 1", "--tree=1"),
    // The last one counts.
    ("-t 1 -t 2 --auto-dedup --no-auto-dedup", "--tree=2"), ("--auto-dedup -t 1", "--auto-dedup --tree=1"),
    ("--page-server --no-page-server --stream --no-stream -t 1", "--tree=1"),
    (
      "--page-server -t 1 --address h --port 9 --ps-socket 4",
      "--page-server --tree=1 --address=h --port=9 --ps-socket=4"
    ),
    // Letters, joined and with their values.
    ("-jlt5 -Ddir", "--tree=5 --images-dir=dir"), ("-jRdt 5", "--tree=5"),
    ("-x -t1 -xuid -M a:b -J net:5", "--tree=1"),
    // A value that looks like an option is one all the same.
    ("-D -t -t 1", "--images-dir=-t --tree=1"),
    // Sluice's own stay as they are.
    (
      "--rounds 3 --no-sync --memory-budget=16M -t 1 --timeout 5",
      "--tree=1 --timeout=5 --rounds 3 --no-sync --memory-budget=16M"
    ),
    // Which of the two it is, --final decides.
    ("--final --leave-stopped -t 1", "--leave-stopped --tree=1 --final"),
    ("--unheard-of -t 1", "--tree=1 --unheard-of"), ("--help", "--help"), ("-h", "--help"),
  ])
  func `CRIU's options are understood or left out`(given: String, ours: String) throws {
    #expect(try translated(given) == ours)
  }

  @Test(arguments: [
    ("", 0), ("-v", 1), ("-v -v", 2), ("-vv", 2), ("-vvvv", 2), ("-v0", 0), ("-v1", 0), ("-v2", 0),
    ("-v3", 1), ("-v4", 2), ("--verbosity", 1), ("--verbosity=4", 2), ("--verbosity=vv", 2), ("-v4 -v2", 0),
    ("-v2000000000", 2), ("-v-5", 0),
    ("-v9223372036854775807 -v", 2), ("-v9223372036854775807 -vv", 2), ("-v-9223372036854775808", 0),
  ])
  func `there is as much to read as CRIU would write`(given: String, count: Int) throws {
    #expect(try translated(given).split(separator: " ").filter { $0 == "-v" }.count == count)
  }

  @Test(arguments: [
    ("pre-dump -t 1", "--tree=1 --images-dir=."),
    // The verb may stand anywhere.
    ("-t 1 -v4 pre-dump -D d", "--tree=1 --images-dir=d -v -v"),
    // Names may be cut off where no other begins so.
    (
      "pre-dump --tre 1 --im d --prev ../1 --work w --log-f l",
      "--tree=1 --images-dir=d --prev-images-dir=../1 --work-dir=w --log-file=l"
    ),
    // To CRIU it is the time for stopping the processes, and 0 is no limit.
    ("pre-dump -t 1 --timeout 5 -D d", "--tree=1 --stop-timeout=5 --images-dir=d"),
    ("pre-dump -t 1 --timeout 0 -D d", "--tree=1 --stop-timeout=1000000 --images-dir=d"),
    ("pre-dump -t 1 --timeout 4294967295 -D d", "--tree=1 --stop-timeout=1000000 --images-dir=d"),
    ("pre-dump -t 1 -D d --freeze-cgroup /old", "--tree=1 --images-dir=d"),
    (
      "pre-dump -t 1 -D d --freeze-cgroup /old --freeze-cgroup=/new",
      "--tree=1 --images-dir=d --freeze-cgroup=/new"
    ),
    ("pre-dump -t 1 -D d --config /nowhere", "--tree=1 --images-dir=d"),
  ])
  func `in CRIU's place they mean what they mean to CRIU`(given: String, ours: String) throws {
    #expect(try translated(given, for: .criu) == ours)
  }

  @Test(arguments: [
    "", "dump -t 1", "check", "pre-dump more -t 1", "pre-dump --rounds 3 -t 1", "pre-dump --unheard-of -t 1",
    "pre-dump --tr 1", "pre-dump --memory-dump-mode read -t 1", "pre-dump -t", "pre-dump -t 1 -s",
    "pre-dump -t 1 --lazy-pages", "pre-dump -t 1 --stream",
    "pre-dump -t 1 -v 4", "pre-dump -t 1 -vj", "pre-dump --help", "-V", "pre-dump -t 1 --pre-dump-mode tape",
    "pre-dump -t 1 -Z", "pre-dump -t 1 --timeout soon", "pre-dump -t 1 --timeout=",
    "pre-dump --no-lazy-pages -t 1", "pre-dump --tcp-established=yes -t 1", "pre-dump -t 1 -- x",
  ])
  func `in CRIU's place all else is CRIU's`(given: String) {
    #expect(throws: CriuOptions.Problem.self) { try translated(given, for: .criu) }
  }

  @Test(arguments: [
    ("page-server -D d --port 9 -d", "--images-dir=d --port=9 --daemon"),
    (
      "--address h page-server --prev-images-dir ../1 --auto-dedup --ps-socket=5 --status-fd 3 --pidfile p -v4 -o l",
      "--address=h --prev-images-dir=../1 --auto-dedup --ps-socket=5 --status-fd=3 --pidfile=p --log-file=l -v -v --images-dir=."
    ),
    ("page-server --tree 4 --tcp-close --no-daemon", "--images-dir=."),
  ])
  func `a page server in CRIU's place is told what CRIU's is`(given: String, ours: String) throws {
    let options = try options(given, for: .criu)
    #expect(options.arguments.joined(separator: " ") == ours)
    #expect(options.verb == .pageServer)
  }

  @Test(arguments: ["page-server --lazy-pages", "page-server --help", "page-server pre-dump"])
  func `what a page server of ours does not do is CRIU's`(given: String) {
    #expect(throws: CriuOptions.Problem.self) { try options(given, for: .criu) }
  }

  @Test func `without a page server its address means nothing`() throws {
    #expect(
      try translated("pre-dump -t 1 -D d --address x --port 9", for: .criu) == "--tree=1 --images-dir=d")
  }

  @Test func `a cgroup is taken as it is from one who calls Sluice`() throws {
    #expect(try translated("--freeze-cgroup /old -t 1") == "--freeze-cgroup=/old --tree=1")
  }

  @Test func `what is left out is told`() throws {
    let leftOut = try options("pre-dump -t 1 --pidfile p --tcp-close -L x", for: .criu).leftOut
    #expect(leftOut.count == 3)
    for name in ["--pidfile", "--tcp-close", "--libdir"] {
      #expect(leftOut.contains { $0.contains(name) && $0.contains("ignored: ") }, "\(leftOut)")
    }
  }

  @Test(arguments: [
    "--lazy-pages", "--config /nowhere", "--pre-dump-mode tape", "-t",
    "--exec-cmd", "--tcp-close=1", "-vx",
  ])
  func `what cannot be done is refused`(given: String) {
    #expect(throws: CriuOptions.Problem.self) { try translated(given) }
  }
}
