import ArgumentParser
import Glibc
import Sluice

/// The options that say how fast pages are written or sent.
struct RateOptions: ParsableArguments {
  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "Write or send no more bytes a second than this, such as 100M.",
      discussion: "A round that stops the processes (--final) is not slowed down.", valueName: "size"))
  var maxRate: ByteCount?

  @Option(
    help: ArgumentHelp(
      "Read the limit from this file, ten times a second.",
      discussion: """
        The file holds a size, such as 100M, or nothing for no limit: 'echo 20M > FILE' changes the limit of a run. If the \
        file does not exist, --max-rate holds.
        """,
      valueName: "file"),
    completion: .file())
  var maxRateFile: String?

  func validate() throws {
    if let maxRate, maxRate.bytes < 1 { throw ValidationError("--max-rate must be at least 1") }
    if let maxRateFile, case .nonsense(let text) = Self.read(maxRateFile) {
      throw ValidationError("the file \(maxRateFile) of --max-rate-file holds no size: '\(text)'")
    }
  }

  /// The limit, and what looks for another one in the file, until it is cancelled.
  func start() -> (limit: RateLimit?, watch: Task<Void, Never>?) {
    let first = maxRate.map { UInt64($0.bytes) }
    guard let maxRateFile else { return (first.map { RateLimit(bytesPerSecond: $0) }, nil) }
    let limit = RateLimit(bytesPerSecond: first)
    if case .limit(let bytes) = Self.read(maxRateFile) { limit.bytesPerSecond = bytes }
    let watch = Task.detached {
      var seen = Self.read(maxRateFile)
      while (try? await Task.sleep(for: .milliseconds(100))) != nil {
        let found = Self.read(maxRateFile)
        guard found != seen else { continue }
        seen = found
        switch found {
        case .none: limit.bytesPerSecond = first
        case .limit(let bytes): limit.bytesPerSecond = bytes
        case .nonsense(let text):
          Terminal.message(
            "sluice: warning: the limit stays as it is: \(maxRateFile) holds no size: '\(text)'")
        }
      }
    }
    return (limit, watch)
  }

  private enum Content: Hashable {
    case none
    case limit(UInt64?)
    case nonsense(String)
  }

  /// More than any size has.
  private static let longestText = 64

  private static func read(_ path: String) -> Content {
    // A FIFO without a writer is not to be waited for.
    let file = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard file >= 0 else { return .none }
    defer { close(file) }
    var bytes = [UInt8](repeating: 0, count: longestText)
    let count = unsafe Glibc.read(file, &bytes, bytes.count)
    guard count >= 0 else { return .none }
    var text = String(decoding: bytes[..<count], as: UTF8.self)[...]
    while let last = text.last, last.isWhitespace { text = text.dropLast() }
    guard !text.isEmpty else { return .limit(nil) }
    guard let size = ByteCount(argument: String(text)), size.bytes > 0 else { return .nonsense(String(text)) }
    return .limit(UInt64(size.bytes))
  }
}
