import Logging

/// Writes log lines to standard error.
struct StandardErrorLog: LogHandler {
  var metadata: Logger.Metadata = [:]
  var logLevel: Logger.Level

  /// - Parameter verbosity: how often -v was given.
  static func logger(verbosity: Int) -> Logger {
    let level: Logger.Level =
      switch verbosity {
      case 0: .warning
      case 1: .info
      default: .debug
      }
    return Logger(label: "sluice") { _ in StandardErrorLog(logLevel: level) }
  }

  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  func log(event: LogEvent) {
    let all = metadata.merging(event.metadata ?? [:], uniquingKeysWith: { $1 })
    let details = all.sorted(by: { $0.key < $1.key }).map { " \($0.key)=\($0.value)" }.joined()
    Terminal.message("sluice: \(event.level): \(event.message)\(details)")
  }
}
