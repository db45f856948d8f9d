// A daemon that dumps processes when it is asked to, and on a schedule, all of them in one budget of memory.
//
//   Agent DIRECTORY [--port N] [--budget MiB] [--most N] [--every SECONDS PID...]
//
//   POST /dumps/PID     begins a dump, and answers with its name
//   GET  /dumps/NAME    what has become of it
//   GET  /metrics       for Prometheus
//
// It listens on this machine alone: whoever reaches it can have any process copied. SIGTERM ends it in order.
import Foundation
import Hummingbird
import Logging
import NIOCore
import ServiceLifecycle
import Sluice

/// Ends the program with one line.
func refuse(_ reason: String) -> Never {
  FileHandle.standardError.write(Data("Agent: \(reason)\n".utf8))
  exit(64)
}

var (port, budget, most, interval) = (0, 64, 8, 0)
var pids: [Int32] = []
var words = CommandLine.arguments.dropFirst()
guard let directory = words.popFirst(), !directory.hasPrefix("-") else {
  refuse("usage: Agent DIRECTORY [--port N] [--budget MiB] [--most N] [--every SECONDS PID...]")
}
while let word = words.popFirst() {
  guard let value = words.popFirst().flatMap({ Int($0) }), (0...1 << 20).contains(value) else {
    refuse("\(word) takes a number from 0 to \(1 << 20)")
  }
  switch word {
  case "--port": port = value
  case "--budget": budget = value
  case "--most": most = value
  case "--every":
    interval = value
    while let word = words.popFirst() {
      guard let pid = Int32(word), pid > 0 else { refuse("\(word) is no pid") }
      pids.append(pid)
    }
  default: refuse("there is no option \(word)")
  }
}

let logger = Logger(label: "agent")
let runtime = SluiceRuntime(memoryBudget: budget << 20)
let observer = PrometheusObserver(budget: budget << 20)
let dumps = DumpService(runtime, directory: directory, most: most, observer: observer, logger: logger)

let router = Router()
// A router has one name for what stands in one place.
router.post("dumps/:name") { _, context in
  guard let pid = context.parameters.get("name", as: Int32.self), pid > 0 else {
    throw HTTPError(.badRequest)
  }
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
