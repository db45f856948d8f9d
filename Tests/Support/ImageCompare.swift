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

  /// What it says of one mapping.
  public struct Mapping: Hashable, Sendable {
    /// The first address.
    public let start: UInt64
    /// The address after the last.
    public let end: UInt64
    /// Such as "rw-p".
    public let permissions: String
    /// Pages that the images must have.
    public let expected: Int
    /// Pages that they have.
    public let inImages: Int
    /// Pages that they have and that are the same.
    public let equal: Int
    /// The path, a name in brackets, or "(anonymous)".
    public let name: String
  }

  /// What it says of each mapping, where `--list` was among the options.
  public var mappings: [Mapping] {
    result.output.split(separator: "\n").compactMap { line in
      let words = line.split(separator: " ", maxSplits: 6, omittingEmptySubsequences: false)
      guard words.count == 7, words[0] == "vma" else { return nil }
      let bounds = words[1].split(separator: "-").compactMap { UInt64($0.dropFirst(2), radix: 16) }
      let numbers = words[3...5].compactMap { $0.split(separator: "=").last.flatMap { Int($0) } }
      guard bounds.count == 2, numbers.count == 3 else { return nil }
      return Mapping(
        start: bounds[0], end: bounds[1], permissions: String(words[2]), expected: numbers[0],
        inImages: numbers[1], equal: numbers[2], name: String(words[6]))
    }
  }

  /// What it says of the mapping that an address is in.
  public func mapping(at address: UInt64) -> Mapping? {
    mappings.first { $0.start <= address && address < $0.end }
  }

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
