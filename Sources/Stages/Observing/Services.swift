#if ServiceLifecycle
  public import ServiceLifecycle

  /// A page server as a service of a `ServiceGroup` (trait `ServiceLifecycle`): it serves until the group shuts down. Sessions
  /// that are under way then end, and nothing of them is kept.
  public struct PageServerService: Service {
    private let server: PageServer
    private let sessions: PageServer.Sessions
    private let ended: @Sendable (SessionReport) -> Void

    /// - Parameter ended: is told of each session that has come to its end, or failed, from any thread.
    public init(
      _ server: PageServer, _ sessions: PageServer.Sessions = PageServer.Sessions(),
      ended: @escaping @Sendable (SessionReport) -> Void = { _ in }
    ) {
      self.server = server
      self.sessions = sessions
      self.ended = ended
    }

    /// Serves until a graceful shutdown, or until the task is cancelled.
    ///
    /// - Throws: `SluiceError` where no further client can be taken.
    public func run() async throws {
      try await endingWithShutdown { [server, sessions, ended] in
        try await server.run(sessions, ended: ended)
      }
    }
  }

  /// Rounds of a process as a service of a `ServiceGroup` (trait `ServiceLifecycle`): it ends with the last round, or when the
  /// group shuts down. The round that is under way then is not kept; those before it are.
  public struct PreDumpRoundsService: Service {
    private let configuration: PreDump.Configuration
    private let policy: RoundPolicy
    private let lastRound: PreDumpRounds.LastRound?
    private let runtime: SluiceRuntime?
    private let completed: @Sendable (PreDumpReport) async throws -> Void

    /// - Parameters:
    ///   - runtime: what the rounds share a memory budget in; nil for one of their own.
    ///   - completed: is given the report of each round.
    public init(
      _ configuration: PreDump.Configuration, policy: RoundPolicy,
      lastRound: PreDumpRounds.LastRound? = nil, in runtime: SluiceRuntime? = nil,
      completed: @escaping @Sendable (PreDumpReport) async throws -> Void = { _ in }
    ) {
      self.configuration = configuration
      self.policy = policy
      self.lastRound = lastRound
      self.runtime = runtime
      self.completed = completed
    }

    /// Makes the rounds.
    ///
    /// - Throws: `SluiceError`; what `completed` throws.
    public func run() async throws {
      try await endingWithShutdown { [self] in
        try await withPreDumpRounds(configuration, policy: policy, lastRound: lastRound, in: runtime) {
          rounds in
          for try await report in rounds { try await completed(report) }
        }
      }
    }
  }

  /// Runs `body`, and cancels it at a graceful shutdown, which is no failure then.
  private func endingWithShutdown(_ body: @escaping @Sendable () async throws -> Void) async throws {
    do {
      try await cancelWhenGracefulShutdown { try await body() }
    } catch let error as SluiceError where error.code == .cancelled && Task.isShuttingDownGracefully {
      return
    }
  }
#endif
