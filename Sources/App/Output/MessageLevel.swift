/// How much a message matters, by the names that logs have.
enum MessageLevel: String, CaseIterable {
  case trace
  case debug
  case info
  case notice
  case warning
  case error
  case critical
}
