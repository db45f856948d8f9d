/// What the independent reader says of images: Tests/Programs/image-compare.
public struct ImageComparison: Sendable, CustomStringConvertible {
  /// Everything it did.
  public let result: CommandResult
  /// The numbers of its last line, by name.
  public let counts: [String: Int]

  /// Whether the images hold exactly the memory of the process, in the right form.
  public var isEqual: Bool { result.end == .exited(0) }

  /// What it printed.
  public var description: String { "\(result.end)\n\(result.output)\(result.errors)" }

  /// Compares the images in a directory with a process, which must be stopped.
  public static func run(pid: Int32, images: String, options: [String] = []) async throws -> ImageComparison {
    let arguments = ["--pid", "\(pid)", "--images", images] + options
    let result = try await Command(built: "image-compare", arguments).run()
    var counts: [String: Int] = [:]
    for word in result.output.split(separator: "\n").last?.split(separator: " ") ?? [] {
      let parts = word.split(separator: "=")
      if parts.count == 2, let number = Int(parts[1]) { counts[String(parts[0])] = number }
    }
    return ImageComparison(result: result, counts: counts)
  }
}
