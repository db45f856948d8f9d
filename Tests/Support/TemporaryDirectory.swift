import Foundation

/// Runs `body` with a new, empty directory, which is removed afterwards with everything in it.
public func withTemporaryDirectory<Result>(
  _ body: (String) async throws -> Result
) async throws -> Result {
  let directory = FileManager.default.temporaryDirectory
    .appendingPathComponent("sluice-test-\(UUID().uuidString)").path
  try FileManager.default.createDirectory(
    atPath: directory, withIntermediateDirectories: false, attributes: [.posixPermissions: 0o755])
  defer { try? FileManager.default.removeItem(atPath: directory) }
  return try await body(directory)
}

/// The names in a directory, sorted; nil when there is no such directory.
public func names(in directory: String) -> [String]? {
  (try? FileManager.default.contentsOfDirectory(atPath: directory))?.sorted()
}

/// The size of a file in bytes; nil when there is no such file.
public func fileSize(_ path: String) -> Int? {
  (try? FileManager.default.attributesOfItem(atPath: path))?[.size] as? Int
}

/// Whether something in the directory could pass for finished images: an inventory says that they are.
public func looksFinished(_ directory: String) -> Bool {
  names(in: directory)?.contains("inventory.img") == true
}
