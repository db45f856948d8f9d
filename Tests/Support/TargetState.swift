import Foundation

/// What must be as before when the writes of a process are watched no longer.
public struct TargetState: Hashable, Sendable {
  /// The numbers of its open descriptors.
  public let descriptors: Set<String>
  /// Mappings of which a userfaultfd is told ("uw" among the VmFlags of smaps).
  public let watchedMappings: Int
  /// Those of them that are of a file.
  public let watchedFiles: Int
  /// The pid of who traces it; 0 for nobody.
  public let tracer: Int?

  /// The process as it is now.
  public init(_ pid: Int32) throws {
    descriptors = Set(try FileManager.default.contentsOfDirectory(atPath: "/proc/\(pid)/fd"))
    var (watched, files, isFile) = (0, 0, false)
    for line in try ProcessMemory.text(ofFileAt: "/proc/\(pid)/smaps").split(separator: "\n") {
      let words = line.split(separator: " ")
      if words.count >= 5, words[0].contains("-"), words[1].count == 4 { isFile = words[4] != "0" }
      guard words.first == "VmFlags:", words.contains("uw") else { continue }
      watched += 1
      files += isFile ? 1 : 0
    }
    watchedMappings = watched
    watchedFiles = files
    tracer = ProcessMemory.status("TracerPid", of: pid)
  }
}
