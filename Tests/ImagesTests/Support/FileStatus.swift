import Foundation

/// What a file is, by the kernel.
struct FileStatus {
  let permissions: Int
  let isDirectory: Bool

  init(path: String) throws {
    let attributes = try FileManager.default.attributesOfItem(atPath: path)
    permissions = (attributes[.posixPermissions] as? NSNumber)?.intValue ?? -1
    isDirectory = attributes[.type] as? FileAttributeType == .typeDirectory
  }
}
