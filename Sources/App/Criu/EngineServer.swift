import Glibc
import Sluice
import SluiceWire

/// Starts a page server for an engine, in a process of its own.
struct EngineServer {
  private let options: EngineRequest.Options
  private let engine: Int32

  /// - Parameter engine: the process whose descriptors are spoken of.
  /// - Throws: `EngineAnswer.Failure` when it cannot be meant.
  init(_ options: EngineRequest.Options?, engine: Int32) throws(EngineAnswer.Failure) {
    guard let options else {
      throw EngineAnswer.Failure(errno: EINVAL, message: "the request for a page server has no options")
    }
    self.options = options
    self.engine = engine
  }

  /// Starts it, and says where it is.
  ///
  /// - Parameter isDetached: whether it goes on by itself, and is nobody's child.
  /// - Throws: `EngineAnswer.Failure`.
  func start(isDetached: Bool) throws(EngineAnswer.Failure) -> EnginePageServer {
    let place = try EnginePlace(options, engine: engine)
    var arguments = ["page-server", "--first-client", "--images-dir=\(place.images)"]
    arguments += Array(repeating: "-v", count: CriuOptions.verbosity(ofLevel: Int(options.logLevel)))
    var inherited = place.descriptors
    if let log = place.log { arguments.append("--log-file=\(log)") }
    if let parent = options.parent { arguments.append("--prev-images-dir=\(parent)") }
    if options.dedups { arguments.append("--auto-dedup") }
    arguments += (options.tls?.arguments ?? [])
    var answer = EnginePageServer()
    let server = options.pageServer
    if let descriptor = server?.descriptor {
      arguments.append("--ps-socket=\(descriptor)")
      inherited.append(descriptor)
    } else {
      let listening = try listen(server)
      answer.port = Int32(listening.port)
      arguments.append("--listen-fd=\(listening.descriptor)")
      inherited.append(listening.descriptor)
      defer { close(listening.descriptor) }
      answer.pid = try start(arguments, inherited, isDetached)
      return answer
    }
    answer.pid = try start(arguments, inherited, isDetached)
    return answer
  }

  private func start(
    _ arguments: [String], _ inherited: [Int32], _ isDetached: Bool
  ) throws(EngineAnswer.Failure) -> Int32 {
    do throws(OwnProgram.Failed) {
      return try OwnProgram.start(arguments, inheriting: inherited, isDetached: isDetached)
    } catch {
      throw EngineAnswer.Failure(errno: error.errno, message: error.message)
    }
  }

  private func listen(
    _ server: EnginePageServer?
  ) throws(EngineAnswer.Failure) -> (descriptor: Int32, port: UInt16) {
    guard let port = UInt16(exactly: server?.port ?? 0) else {
      throw EngineAnswer.Failure(
        errno: EINVAL, message: "a page server cannot have port \(server?.port ?? 0)")
    }
    do throws(SluiceError) {
      return try PageServer.listen(at: server?.address ?? "", port: port)
    } catch {
      throw EngineAnswer.Failure(errno: error.errno?.code ?? EINVAL, message: error.message)
    }
  }
}

extension EngineTLS {
  /// The options of the command that say the same.
  var arguments: [String] {
    ["--tls"] + (authorities.map { ["--tls-cacert=\($0)"] } ?? [])
      + (revoked.map { ["--tls-cacrl=\($0)"] } ?? [])
      + (certificate.map { ["--tls-cert=\($0)"] } ?? []) + (key.map { ["--tls-key=\($0)"] } ?? [])
      + (acceptsAnyName ? ["--tls-no-cn-verify"] : [])
  }
}
