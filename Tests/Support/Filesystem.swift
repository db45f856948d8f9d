import Foundation

/// What the tests have to know of the filesystem that they write to.
public enum Filesystem {
  /// Whether files there live in memory: they have no way past a page cache, and nothing to wait for.
  public static func isInMemory(_ path: String) async throws -> Bool {
    let result = try await Command(installed: "stat", ["--file-system", "--format", "%T", path]).run()
    return ["tmpfs", "ramfs"].contains(result.output.trimmingCharacters(in: .whitespacesAndNewlines))
  }
}
