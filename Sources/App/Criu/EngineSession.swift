import Glibc
import Sluice
import SluiceWire

/// Answers a container engine, in CRIU's place, until it has no more requests: `sluice swrk`.
///
/// An engine that wants to be notified (`notify_scripts`) of what is done gets nothing but the answer: CRIU has nothing to
/// tell either while it makes a pre-dump. The notification by that name comes at the start of the final dump.
struct EngineSession {
  let socket: EngineSocket
  /// Where the real CRIU is, if somebody says so.
  let criu: String?
  private var order = RequestOrder()

  init(socket: EngineSocket, criu: String?) {
    self.socket = socket
    self.criu = criu
  }

  /// - Returns: the exit status; CRIU's is 0 or 1 too. Does not return where the rest is handed on.
  mutating func run() async -> Int32 {
    var isAnswered = false
    do throws(EngineSocket.Broken) {
      while true {
        switch try await answerNext() {
        case .more: isAnswered = true
        case .done: return 0
        case .failed: return 1
        }
      }
    } catch {
      // An engine that has what it wanted just goes.
      guard let message = error.message else { return isAnswered ? 0 : 1 }
      Terminal.message("sluice: \(message)")
      return 1
    }
  }

  /// How it goes on after an answer.
  private enum Next {
    case more
    case done
    case failed
  }
}

extension EngineSession {
  private mutating func answerNext() async throws(EngineSocket.Broken) -> Next {
    let packet = try socket.peek()
    guard let request = EngineRequest(packet: packet) else {
      try socket.drop()
      return try refuse(.empty, EngineAnswer.Failure(errno: EBADMSG, message: "the packet is not a request"))
    }
    let result = await answer(to: request, packet)
    try socket.drop()
    switch result {
    case .success(let answer):
      try socket.send(answer)
      return order.expectsMore(after: request) ? .more : .done
    case .failure(let failure):
      return try refuse(request.kind, failure)
    }
  }

  /// - Returns: the packet of the answer, or why it was not done.
  private func answer(
    to request: EngineRequest, _ packet: [UInt8]
  ) async -> Result<[UInt8], EngineAnswer.Failure> {
    do throws(EngineAnswer.Failure) {
      switch order.action(for: request) {
      case .handOn: throw try handOn()
      case .refuse(let reason): throw EngineAnswer.Failure(errno: EINVAL, message: reason)
      // What dumps and restores can do is decided by who makes them.
      case .answerVersion: return .success(try RealCriu(named: criu).answer(to: packet))
      case .answerFeatures:
        return .success(
          EngineAnswer(request.kind, features: try await features(request.features, packet)).packet())
      case .preDump:
        try await preDump(request.options)
        return .success(EngineAnswer(request.kind).packet())
      case .startPageServer:
        let server = try EngineServer(request.options, engine: socket.peer)
        var answer = EngineAnswer(request.kind)
        answer.pageServer = try server.start(isDetached: request.kind == .pageServer)
        return .success(answer.packet())
      case .waitForProcess: return .success(try wait(for: request.pid).packet())
      }
    } catch {
      return .failure(error)
    }
  }

  /// Waits until a process has ended that was started for an earlier request.
  private func wait(for pid: Int32?) throws(EngineAnswer.Failure) -> EngineAnswer {
    guard let pid, pid > 0 else {
      throw EngineAnswer.Failure(errno: EINVAL, message: "the request to wait for a process names none")
    }
    var status: Int32 = 0
    while unsafe waitpid(pid, &status, 0) < 0 {
      let error = errno
      guard error == EINTR else {
        throw EngineAnswer.Failure(
          errno: error, message: "waiting for the end of process \(pid): \(CommandFailure.text(error))")
      }
    }
    var answer = EngineAnswer(.waitForProcess)
    answer.status = status
    return answer
  }

  /// Says why not, to the engine and to whoever reads the messages. CRIU ends after that, whatever was to follow.
  private func refuse(
    _ kind: EngineRequest.Kind, _ failure: EngineAnswer.Failure
  ) throws(EngineSocket.Broken) -> Next {
    Terminal.message("sluice: \(failure.message)")
    try socket.send(EngineAnswer(kind, failure: failure).packet())
    return .failed
  }

  /// Becomes CRIU, which finds the request where it is and knows the engine by the socket.
  ///
  /// - Returns: only when that fails, and why.
  private func handOn() throws(EngineAnswer.Failure) -> EngineAnswer.Failure {
    try RealCriu(named: criu).execute(["swrk", "\(socket.descriptor)"])
  }

  /// What is supported of what is asked about.
  private func features(
    _ asked: EngineFeatures?, _ packet: [UInt8]
  ) async throws(EngineAnswer.Failure) -> EngineFeatures {
    guard let asked else {
      throw EngineAnswer.Failure(errno: EINVAL, message: "the question for features names none")
    }
    var features = EngineFeatures()
    if asked.tracksMemory != nil {
      features.tracksMemory = (try? await Capabilities.find())?.has(.softDirty) == true
    }
    // Pids that are reused are told apart in other ways; descriptors of ours CRIU would look for in vain.
    if asked.storesPidfds != nil { features.storesPidfds = false }
    if asked.lazyPages != nil {
      // It concerns dumps and restores.
      let answer = EngineAnswer(packet: try RealCriu(named: criu).answer(to: packet))
      features.lazyPages = answer?.features?.lazyPages ?? false
    }
    return features
  }

  /// The command of a pre-dump. What only CRIU can do is handed on to it.
  private func parse(_ preDump: EnginePreDump) throws(EngineAnswer.Failure) -> PreDumpCommand {
    do {
      let (command, leftOut) = try preDump.command()
      command.tell(leftOut)
      return command
    } catch let problem as CriuOptions.Problem {
      Terminal.message("sluice: the request is passed on to CRIU: \(problem.message)")
      throw try handOn()
    } catch let failure as EngineAnswer.Failure {
      throw failure
    } catch {
      throw EngineAnswer.Failure(errno: EINVAL, message: "\(error)")
    }
  }

  private func preDump(_ options: EngineRequest.Options?) async throws(EngineAnswer.Failure) {
    let preDump = try EnginePreDump(options, engine: socket.peer)
    if let path = preDump.logPath {
      do throws(SluiceError) { try Terminal.sendMessages(toFileAt: path) } catch {
        throw EngineAnswer.Failure(errno: error.errno?.code ?? EPERM, message: error.message)
      }
    }
    let command = try parse(preDump)
    let limit = DescriptorLimit.raise()
    defer { DescriptorLimit.set(limit) }
    let (result, _) = await SignalCancellation.run { () async throws(SluiceError) in
      try await command.runOnce()
    }
    SignalCancellation.restoreDefaults()
    switch result {
    case .success(true): return
    case .success(false):
      throw EngineAnswer.Failure(errno: EIO, message: "the images are valid, but stats-dump cannot be copied")
    case .failure(let error) where error.code == .hiddenMemory:
      Terminal.message("sluice: the request is passed on to CRIU: \(error.message)")
      DescriptorLimit.set(limit)
      throw try handOn()
    case .failure(let error):
      throw EngineAnswer.Failure(errno: error.errno?.code ?? EINVAL, message: error.message)
    }
  }
}
