@testable import SluiceImages

/// The images that most tests make, and short ways to make them.
enum Images {
  static let pageSize: UInt64 = 4_096

  /// A directory's images, taken to the end: one process with the given runs, and no contents.
  static func publish(_ runs: [PagemapRun], pid: Int32 = 1, pagesID: UInt32 = 1, at path: String) throws {
    var images = try UnfinishedImages.create(at: path)
    _ = try images.createPages(id: pagesID)
    let file = try images.createPagemap(pid: pid)
    var writer = try PagemapImageWriter(file: file, pagesID: pagesID, pageSize: pageSize)
    for run in runs { try writer.append(run) }
    try writer.finish()
    try images.publish()
  }

  static func entries(ofPid pid: Int32, at path: String) throws -> [PagemapRun]? {
    let directory = try ImagesDirectory(path: path)
    guard var reader = try PagemapImageReader(pid: pid, in: directory) else { return nil }
    var runs: [PagemapRun] = []
    while let run = try reader.next() { runs.append(run) }
    return runs
  }
}

extension UnfinishedImages {
  mutating func createPages(id: UInt32 = 1) throws(ImagesError) -> OutputFile {
    try createPagesFile(id: id, direct: false)
  }

  consuming func publish(statistics: DumpStatistics = DumpStatistics()) throws(ImagesError) {
    try publish(
      inventory: Inventory(dumpUptime: 300, preDumpMode: .read), statistics: statistics, syncs: true)
  }

  struct WentWell: Error {}

  /// What publishing fails with, as it must.
  consuming func publishingError() throws -> ImagesError {
    do throws(ImagesError) {
      try publish()
    } catch {
      return error
    }
    throw WentWell()
  }
}

extension OutputFile {
  /// Writes bytes that stand in an array.
  func write(_ bytes: [UInt8], at offset: UInt64 = 0) throws {
    try unsafe bytes.withUnsafeBytes { try unsafe write($0, at: offset) }
  }
}
