// A daemon that dumps processes when it is asked to, and on a schedule, all of them in one budget of memory.
//
//   Agent DIRECTORY [--port N] [--budget MiB] [--most N] [--every SECONDS PID...]
//
//   POST /dumps/PID     begins a dump, and answers with its name
//   GET  /dumps/NAME    what has become of it
//   GET  /metrics       for Prometheus
//
// It listens on this machine alone: whoever reaches it can have any process copied. SIGTERM ends it in order.
import Glibc
import Hummingbird
import Logging
import NIOCore
import ServiceLifecycle
import Sluice

var (port, budget, most, interval) = (0, 64, 8, 0.0)
var pids: [Int32] = []
var words = CommandLine.arguments.dropFirst()
guard let directory = words.popFirst() else {
  fatalError("usage: Agent DIRECTORY [--port N] [--budget MiB] ...")
}
while let word = words.popFirst() {
  guard let value = words.popFirst().flatMap({ Double($0) }) else { fatalError("\(word) takes a number") }
  switch word {
  case "--port": port = Int(value)
  case "--budget": budget = Int(value)
  case "--most": most = Int(value)
  case "--every":
    interval = value
    while let pid = words.popFirst() { pids.append(Int32(pid) ?? 0) }
  default: fatalError("\(word) is no option")
  }
}

let logger = Logger(label: "agent")
let runtime = SluiceRuntime(memoryBudget: budget << 20)
let observer = PrometheusObserver(budget: budget << 20)
let dumps = DumpService(runtime, directory: directory, most: most, observer: observer, logger: logger)

let router = Router()
router.post("dumps/:pid") { _, context in
  guard let pid = context.parameters.get("pid", as: Int32.self), pid > 0 else { throw HTTPError(.badRequest) }
  return EditedResponse(status: .accepted, response: dumps.ask(pid) + "\n")
}
router.get("dumps/:name") { _, context in
  guard let outcome = dumps.outcome(of: try context.parameters.require("name")) else {
    throw HTTPError(.notFound)
  }
  return "\(outcome)\n"
}
router.get("metrics") { _, _ in
  Response(
    status: .ok, headers: [.contentType: "text/plain; version=0.0.4; charset=utf-8"],
    body: .init(byteBuffer: ByteBuffer(string: observer.text)))
}
let web = Application(
  router: router, configuration: .init(address: .hostname("127.0.0.1", port: port)),
  onServerRunning: { channel in
    print("listening on port \(channel.localAddress?.port ?? 0)")
    fflush(nil)
  },
  logger: logger)

var services: [any Service] = [dumps, web]
if interval > 0 { services.append(Schedule(dumps: dumps, pids: pids, interval: .seconds(interval))) }
let group = ServiceGroup(
  services: services, gracefulShutdownSignals: [.sigterm, .sigint], logger: logger)
try await group.run()
