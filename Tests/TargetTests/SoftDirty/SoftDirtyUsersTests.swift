import Glibc
import SluiceTestSupport
import Testing

@testable import SluiceTarget

@Suite("Users of soft-dirty bits", .timeLimit(.minutes(15)))
struct SoftDirtyUsersTests {
  /// What a process may do with such files, and which file is then found to be one of its own.
  @Test(arguments: [
    ("f = open('/proc/self/clear_refs', 'w')", "clear_refs"),
    ("f = open('/proc/self/pagemap', 'rb')", "pagemap"),
    ("f = open('/proc/thread-self/clear_refs', 'w')", "clear_refs"),
    ("f = open(f'/proc/self/task/{os.getpid()}/pagemap', 'rb')", "pagemap"),
    ("f = open('/proc/self/clear_refs', 'w'); g = open('/proc/self/pagemap', 'rb')", "clear_refs"),
    // Of a thread of its own, which has the same memory.
    ("t = threading.Thread(target=work); t.start(); ready.wait()", "clear_refs"),
    // Of others, or of that name alone.
    ("f = open(f'/proc/{os.getppid()}/pagemap', 'rb')", nil),
    ("os.makedirs(f'{d}/{os.getpid()}'); f = open(f'{d}/{os.getpid()}/pagemap', 'w')", nil),
    ("f = open('/proc/self/clear_refs', 'w'); f.close()", nil), ("pass", nil),
  ])
  func areFoundByWhatTheyHaveOpen(doing: String, file: String?) async throws {
    try await withTemporaryDirectory { directory in
      try await run(doing, in: directory) { pid in
        let users = try SoftDirtyUsers(among: [TargetProcess(pid: pid)]).users
        #expect(users == file.map { [SoftDirtyUsers.User(holder: pid, pid: pid, file: $0)] } ?? [])
      }
    }
  }

  private static let start = """
    import os, sys, threading, time
    d = sys.argv[1]
    ready = threading.Event()
    def work():
        global f
        f = open('/proc/thread-self/clear_refs', 'w')
        ready.set()
        time.sleep(600)

    """

  private func run(
    _ doing: String, in directory: String, under command: [String] = [], _ body: (Int32) async throws -> Void
  ) async throws {
    let program = Self.start + doing + "\nprint('ready', flush=True)\ntime.sleep(600)"
    let words = command + ["python3", "-c", program, directory]
    var command = try Command(installed: words[0], Array(words.dropFirst()))
    command.output = .lines
    try await withProgram(command) { program in
      _ = try await program.nextLine()
      try await body(program.pid)
    }
  }

  /// The one that clears is another process of the tree, as a checkpointer with what it watches.
  @Test func areFoundWhenTheyLookAtAnother() async throws {
    let doing = "p = os.getpid(); c = os.fork()\nif c == 0: f = open(f'/proc/{p}/clear_refs', 'w')"
    try await withTemporaryDirectory { directory in
      try await run(doing, in: directory) { pid in
        try await eventually("the child has it open") {
          try SoftDirtyUsers(among: ProcessTree(root: pid).processes).users.count == 1
        }
        let tree = try ProcessTree(root: pid)
        let user = try #require(try SoftDirtyUsers(among: tree.processes).users.first)
        #expect(user.pid == pid && user.holder == tree.processes.last?.pid)
      }
    }
  }

  /// In a pid namespace and with a /proc of its own, by whose pids the file is called.
  @Test(.needsRoot) func areFoundInAnotherNamespace() async throws {
    let isolated = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
    try await withTemporaryDirectory { directory in
      try await run("f = open('/proc/self/clear_refs', 'w')", in: directory, under: isolated) { pid in
        let tree = try ProcessTree(root: pid)
        let inner = try #require(tree.processes.last)
        #expect(inner.namespacePid == 1)
        #expect(
          try SoftDirtyUsers(among: tree.processes).users
            == [SoftDirtyUsers.User(holder: inner.pid, pid: inner.pid, file: "clear_refs")])
      }
    }
  }

  @Test func areLookedForByTheNumberInALink() {
    #expect(SoftDirtyUsers.number(in: "/proc/4711/clear_refs") == 4711)
    #expect(SoftDirtyUsers.number(in: "/var/lib/machine/proc/4711/task/4712/pagemap") == 4712)
    #expect(SoftDirtyUsers.number(in: "/1/pagemap") == 1)
    #expect(SoftDirtyUsers.number(in: "/pagemap") == nil)
    #expect(SoftDirtyUsers.number(in: "/proc/self/pagemap") == nil)
  }
}
