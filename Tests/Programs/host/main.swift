// A program that embeds the library and does to itself what hosts do, while it copies a process: rounds, and a last one that
// leaves the process stopped, so that others can compare.
//
// host MODE PID DIR
//
// Prints a line for each copy: "complete DIRECTORY", or "failed CODE MESSAGE"; last "end".
import Glibc
import Sluice
import Synchronization

/// What the program does to itself.
enum Mode: String, CaseIterable {
  /// Nothing.
  case plain
  /// It forks all the while.
  case forks
  /// It waits for every child that there is (waitpid(-1)), and has some of its own.
  case reaps
  /// It ignores the ends of its children, which the kernel then keeps from it.
  case ignoresChildren = "ignores-children"
  /// It leaves SIGPIPE as it is, which ends a program, and sends to a page server that has gone.
  case pipeDefault = "pipe-default"
  /// The same, and it ignores SIGPIPE.
  case pipeIgnored = "pipe-ignored"
  /// All of its signals are blocked.
  case blocksSignals = "blocks-signals"
  /// It may have few descriptors (RLIMIT_NOFILE): so many, then more.
  case fewDescriptors = "few-descriptors"
  /// It may have few threads (RLIMIT_NPROC), which root may have as many of as there are: so many, then more.
  case fewThreads = "few-threads"
  /// It may have little address space (RLIMIT_AS): so much, then more.
  case fewAddresses = "few-addresses"
  /// It is the first process of a pid namespace, and starts what it copies: PID is that program's path.
  case first
}

let pageSize = UInt64(sysconf(Int32(_SC_PAGESIZE)))

/// A number that several threads count.
final class Count: Sendable {
  let value = Atomic(0)
}

/// Says something at once: what follows may be the end.
func say(_ line: String) {
  print(line)
  fflush(nil)
}

func wrong(_ text: String) -> Never {
  say("wrong: \(text)")
  exit(1)
}

/// Rounds, and a last one.
///
/// - Returns: the directory of the last.
func copy(_ pid: Int32, to directory: String, budget: Int = 64 << 20) async throws -> String {
  let configuration = PreDump.Configuration(pid: pid, imagesDirectory: directory, memoryBudget: budget)
  var policy = RoundPolicy(rounds: 3)
  policy.untilPages = 0
  policy.untilSkippedPercent = 101
  policy.maxGrowthPages = .max
  return try await withPreDumpRounds(configuration, policy: policy, lastRound: .leavesStopped) { rounds in
    var last = ""
    for try await report in rounds { last = report.imagesDirectory }
    return last
  }
}

/// The same, and says what has come of it.
///
/// - Returns: whether it is complete.
@discardableResult
func tell(_ pid: Int32, to directory: String, budget: Int = 64 << 20) async -> Bool {
  do {
    say("complete \(try await copy(pid, to: directory, budget: budget))")
    return true
  } catch let error as SluiceError {
    say("failed \(error.code) \(error)")
  } catch {
    wrong("\(error) is no SluiceError")
  }
  return false
}

/// Runs a program with these arguments; its output goes to a file where one is named.
func start(_ arguments: [String], output: String? = nil) -> Int32 {
  var actions = unsafe posix_spawn_file_actions_t()
  unsafe posix_spawn_file_actions_init(&actions)
  defer { unsafe posix_spawn_file_actions_destroy(&actions) }
  if let output { unsafe posix_spawn_file_actions_addopen(&actions, 1, output, O_WRONLY | O_CREAT, 0o600) }
  var words = unsafe arguments.map { unsafe strdup($0) }
  unsafe words.append(nil)
  defer { unsafe words.forEach { unsafe free($0) } }
  var pid: Int32 = 0
  let result = unsafe posix_spawn(&pid, arguments[0], &actions, nil, words, nil)
  if result != 0 { wrong("starting \(arguments[0]): errno \(result)") }
  return pid
}

func limit(_ resource: __rlimit_resource, to count: UInt64) {
  var limits = rlimit()
  unsafe getrlimit(Int32(resource.rawValue), &limits)
  limits.rlim_cur = rlim_t(count)
  if unsafe setrlimit(Int32(resource.rawValue), &limits) != 0 { wrong("setrlimit: errno \(errno)") }
}

/// Runs `body` on a thread of its own, again and again, until told to stop.
func repeating(_ body: @escaping @Sendable () -> Void) -> Task<Void, Never> {
  Task.detached {
    while !Task.isCancelled {
      body()
      try? await Task.sleep(for: .milliseconds(1))
    }
  }
}

/// fork, which Swift does not let one call by its name: the child ends at once.
func forkOnce() {
  typealias Fork = @convention(c) () -> Int32
  guard let symbol = unsafe dlsym(nil, "fork") else { wrong("there is no fork") }
  let child = unsafe unsafeBitCast(symbol, to: Fork.self)()
  if child == 0 { _exit(0) }
  if child > 0 { waitpid(child, nil, 0) }
}

/// Has the threads made that Swift's pool has, and what they wait with: a program whose pool gets none stands still, whatever
/// libraries do.
func fillPool() async {
  try? await Task.sleep(for: .milliseconds(1))
  await withTaskGroup(of: Void.self) { group in for _ in 0..<64 { group.addTask { usleep(1000) } } }
}

/// The threads that the program has now.
func threadCount() -> Int {
  guard let directory = unsafe opendir("/proc/self/task") else { wrong("no threads") }
  defer { unsafe closedir(directory) }
  var count = -2
  while unsafe readdir(directory) != nil { count += 1 }
  return count
}

/// The bytes of address space that the program has.
func addressSpace() -> UInt64 {
  guard let file = unsafe fopen("/proc/self/statm", "r") else { wrong("no statm") }
  defer { unsafe fclose(file) }
  var line = [CChar](repeating: 0, count: 256)
  guard unsafe fgets(&line, 256, file) != nil else { wrong("no statm") }
  let text = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  return (text.split(separator: " ").first.flatMap { UInt64($0) } ?? 0) * pageSize
}

/// Sends to a page server whose end of the connection is closed.
func sendToNobody(_ pid: Int32, _ directory: String) async {
  var ends: [Int32] = [0, 0]
  guard unsafe socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends) == 0 else { wrong("no socketpair") }
  close(ends[1])
  var configuration = PreDump.Configuration(pid: pid, imagesDirectory: directory)
  configuration.pageServer = PageServerTarget(.connection(descriptor: ends[0]))
  configuration.pageServer?.layout = .bytes32
  do {
    _ = try await PreDump(configuration).run()
    wrong("nobody took the pages, and the copy is said to be complete")
  } catch {
    say("failed \(error.code) \(error)")
  }
}

/// Writes a core to a pipe that nobody reads.
func writeToNobody(_ pid: Int32, _ directory: String) async {
  var ends: [Int32] = [0, 0]
  guard unsafe pipe(&ends) == 0 else { wrong("no pipe") }
  close(ends[0])
  var configuration = CoreDump.Configuration(pid: pid, path: "\(directory)/core")
  configuration.stream = ends[1]
  do {
    _ = try await CoreDump(configuration).run()
    wrong("nobody took the core, and it is said to be complete")
  } catch {
    say("failed \(error.code) \(error)")
  }
}

/// As the first process of a pid namespace, which every orphan becomes a child of.
func runAsFirst(_ program: String, _ directory: String) async {
  guard getpid() == 1 else { wrong("this is process \(getpid()) of its namespace") }
  let target = start([program, "--size", "8M", "--write-rate", "2000"], output: "\(directory)/target")
  while !isReady("\(directory)/target") { try? await Task.sleep(for: .milliseconds(20)) }
  await tell(target, to: "\(directory)/images")
  let compare = program.split(separator: "/").dropLast().map(String.init).joined(separator: "/")
  let comparer = start(
    [
      "/\(compare)/image-compare", "--pid", "\(target)", "--images", "\(directory)/images/3",
    ], output: "\(directory)/comparison")
  var status: Int32 = 0
  guard unsafe waitpid(comparer, &status, 0) == comparer, status == 0 else {
    wrong("the images differ: \(status)")
  }
  say("equal")
  kill(target, SIGKILL)
  var children = 0
  while true {
    let child = waitpid(-1, nil, 0)
    if child < 0 { break }
    if child != target { children += 1 }
  }
  say("children \(children)")
}

func isReady(_ path: String) -> Bool {
  guard let file = unsafe fopen(path, "r") else { return false }
  defer { unsafe fclose(file) }
  var line = [CChar](repeating: 0, count: 16)
  return unsafe fgets(&line, 16, file) != nil
}

guard CommandLine.arguments.count == 4, let mode = Mode(rawValue: CommandLine.arguments[1]) else {
  print("usage: host MODE PID DIR")
  exit(64)
}
let directory = CommandLine.arguments[3]
if mode == .first {
  await runAsFirst(CommandLine.arguments[2], directory)
  say("end")
  exit(0)
}
guard let pid = Int32(CommandLine.arguments[2]) else { exit(64) }

switch mode {
case .plain, .first: await tell(pid, to: "\(directory)/images")
case .forks:
  let forking = repeating(forkOnce)
  await tell(pid, to: "\(directory)/images")
  forking.cancel()
  await forking.value
case .reaps:
  let strangers = Count()
  let own = start(["/bin/sleep", "0.05"])
  let reaping = repeating {
    var status: Int32 = 0
    let child = unsafe waitpid(-1, &status, WNOHANG)
    // Threads that the library traces are reported when they stop (WIFSTOPPED).
    if child > 0, child != own, status & 0xff != 0x7f { strangers.value.add(1, ordering: .relaxed) }
  }
  await tell(pid, to: "\(directory)/images")
  reaping.cancel()
  await reaping.value
  say("strangers \(strangers.value.load(ordering: .relaxed))")
case .ignoresChildren:
  signal(SIGCHLD, SIG_IGN)
  await tell(pid, to: "\(directory)/images")
case .pipeDefault, .pipeIgnored:
  signal(SIGPIPE, mode == .pipeDefault ? SIG_DFL : SIG_IGN)
  await sendToNobody(pid, "\(directory)/sent")
  await writeToNobody(pid, directory)
  await tell(pid, to: "\(directory)/images")
case .blocksSignals:
  var all = sigset_t()
  unsafe sigfillset(&all)
  unsafe pthread_sigmask(SIG_BLOCK, &all, nil)
  await tell(pid, to: "\(directory)/images")
case .fewDescriptors:
  // What is open now stays so; among it what the pool of threads waits with, without which it ends the program.
  try? await Task.sleep(for: .milliseconds(1))
  var next = UInt64(3)
  var number = 0
  while next < 200 {
    limit(RLIMIT_NOFILE, to: next)
    if await tell(pid, to: "\(directory)/\(number)") {
      break
    }
    number += 1
    next += next < 40 ? 1 : 16
  }
case .fewThreads:
  await fillPool()
  for more in 0..<100 {
    limit(__RLIMIT_NPROC, to: UInt64(threadCount() + more))
    if await tell(pid, to: "\(directory)/\(more)") { break }
  }
case .fewAddresses:
  await fillPool()
  for (number, more) in [8, 16, 24, 32, 48, 64, 96, 128, 256, 512, 1024].enumerated() {
    limit(RLIMIT_AS, to: addressSpace() + UInt64(more) << 20)
    if await tell(pid, to: "\(directory)/\(number)") { break }
  }
}
say("end")
