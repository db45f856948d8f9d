internal import CSluiceImages
import Glibc

/// What `criu swrk` says to a container engine when a request is dealt with.
public struct EngineAnswer: Hashable, Sendable {
  /// Why something was not done.
  public struct Failure: Error, Hashable, Sendable {
    /// The kernel's reason as a number of errno.h, or one that comes near.
    public let errno: Int32
    /// What was being done, to which process or file, and what to do about it; one line.
    public let message: String

    /// A failure for that reason.
    public init(errno: Int32, message: String) {
      self.errno = errno
      self.message = message
    }
  }

  /// What was asked for.
  public var kind: EngineRequest.Kind
  /// Why it was not done; nil where it was.
  public var failure: Failure?
  /// What was asked about, where it was a question for features.
  public var features: EngineFeatures?
  /// The page server that was started.
  public var pageServer: EnginePageServer?
  /// How the process has ended that was waited for, as wait(2) has it.
  public var status: Int32?

  /// It was done, unless there is a failure.
  public init(_ kind: EngineRequest.Kind, failure: Failure? = nil, features: EngineFeatures? = nil) {
    self.kind = kind
    self.failure = failure
    self.features = features
  }

  /// The answer in an engine's packet.
  ///
  /// - Returns: nil when it is none.
  public init?(packet: [UInt8]) {
    let answer = unsafe packet.withUnsafeBytes { bytes in
      unsafe ProtobufMessage.unpack(bytes, like: Sluice__RpcResponse.blank) { unsafe EngineAnswer($0) }
    }
    guard let answer else { return nil }
    self = answer
  }

  private init(_ answer: Sluice__RpcResponse) {
    unsafe kind = EngineRequest.Kind(rawValue: answer.type)
    let message = unsafe answer.cr_errmsg.map { unsafe String(cString: $0) } ?? ""
    failure = unsafe answer.success != 0 ? nil : Failure(errno: answer.cr_errno, message: message)
    features = unsafe answer.features.map { unsafe EngineFeatures($0.pointee) }
    pageServer = unsafe answer.ps.map { unsafe EnginePageServer($0.pointee) }
    status = unsafe answer.has_status != 0 ? answer.status : nil
  }

  /// The bytes of the packet.
  public func packet() -> [UInt8] {
    var message = unsafe Sluice__RpcResponse.blank
    unsafe message.type = kind.rawValue
    unsafe message.success = failure == nil ? 1 : 0
    if let failure {
      unsafe (message.has_cr_errno, message.cr_errno) = (1, failure.errno)
    }
    let text = unsafe failure.map { unsafe strdup($0.message) } ?? nil
    defer { unsafe free(text) }
    unsafe message.cr_errmsg = text
    if let status { unsafe (message.has_status, message.status) = (1, status) }
    var (nested, server) = unsafe ((features ?? EngineFeatures()).message, Sluice__RpcPageServer.blank)
    unsafe (server.has_pid, server.pid) = (pageServer?.pid == nil ? 0 : 1, pageServer?.pid ?? 0)
    unsafe (server.has_port, server.port) = (pageServer?.port == nil ? 0 : 1, pageServer?.port ?? 0)
    return unsafe withUnsafeMutablePointer(to: &nested) { nested in
      unsafe withUnsafeMutablePointer(to: &server) { server in
        if features != nil { unsafe message.features = nested }
        if pageServer != nil { unsafe message.ps = server }
        return unsafe ProtobufMessage.bytes(of: message)
      }
    }
  }
}
