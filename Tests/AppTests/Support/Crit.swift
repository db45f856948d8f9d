import Foundation
import SluiceTestSupport
import Testing

/// CRIU's own tool for images.
enum Crit {
  /// The records of an image.
  static func decode(_ file: String) async throws -> [[String: Any]] {
    let result = try await Command(installed: "crit", ["decode", "-i", file]).run()
    #expect(result.end == .exited(0), "\(file): \(result.errors)")
    let object = try JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [String: Any]
    return try #require(object?["entries"] as? [[String: Any]])
  }

  /// How many pages a pagemap has by crit's count.
  static func pageCount(_ file: String) async throws -> Int {
    try await decode(file).dropFirst().reduce(0) { $0 + ($1["nr_pages"] as? Int ?? 0) }
  }
}
