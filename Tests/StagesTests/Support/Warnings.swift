import Logging
import SluicePipeline

/// Keeps what is logged as a warning.
struct Warnings: LogHandler {
  let kept: Locked<[String]>
  var metadata: Logger.Metadata = [:]
  var logLevel = Logger.Level.warning

  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  func log(event: LogEvent) {
    kept.withLock { $0.append("\(event.message)") }
  }
}
