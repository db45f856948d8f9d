import SluiceWire

/// What becomes of an engine's requests, one after the other; without any doing.
struct RequestOrder {
  /// What is to be done.
  enum Action: Hashable {
    case answerVersion
    case answerFeatures
    case preDump
    case startPageServer
    case waitForProcess
    /// CRIU is to read the request, which is left where it is, and all that follow.
    case handOn
    /// It cannot be meant, for this reason.
    case refuse(String)
  }

  /// After a pre-dump CRIU takes nothing but another one or the final dump.
  private var isAfterPreDump = false

  func action(for request: EngineRequest) -> Action {
    let isForCriu = request.options?.forCriu.isEmpty == false
    switch request.kind {
    // What is not known here CRIU may know.
    case .preDump: return isForCriu ? .handOn : .preDump
    case .dump where isAfterPreDump: return .handOn
    case _ where isAfterPreDump:
      return .refuse(
        "after a pre-dump, only another pre-dump or a dump may follow, not \(request.kind.rawValue)")
    case .singlePreDump: return isForCriu ? .handOn : .preDump
    case .pageServer, .pageServerChild: return isForCriu ? .handOn : .startPageServer
    // Those that CRIU has started it has handed on to itself.
    case .waitForProcess: return .waitForProcess
    case .version: return .answerVersion
    case .featureCheck: return .answerFeatures
    default: return .handOn
    }
  }

  /// Takes note of a request that was done.
  ///
  /// - Returns: whether to wait for another one.
  mutating func expectsMore(after request: EngineRequest) -> Bool {
    isAfterPreDump = request.kind == .preDump
    return isAfterPreDump || request.keepsOpen
  }
}
