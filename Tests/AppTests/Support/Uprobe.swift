import Foundation
import SluiceTestSupport

/// A probe of the kernel's on a function of mapping-target: Documentation/trace/uprobetracer.rst.
enum Uprobe {
  private static let type = "tracefs"

  static var isPossible: Bool {
    get async {
      guard geteuid() == 0 else { return false }
      return (try? await withMount(type) { unsafe access("\($0)/uprobe_events", W_OK) == 0 }) == true
    }
  }

  /// Runs `body` while there is one on the function that the command "probed" calls.
  static func with(on target: MappingTarget, _ body: () async throws -> Void) async throws {
    let address = try await target.tell("where-probed")
    let text = try ProcessMemory.mappings(of: target.pid).first { $0.start <= address && address < $0.end }
    guard let text else { throw TestFailure("mapping-target's code is not mapped") }
    let place = "\(text.name):\(hexadecimal(address - text.start + text.offset))"
    let name = "sluice_test_\(target.pid)"
    try await withMount(type) { directory in
      try append("p:\(name)/odd \(place)\n", to: "\(directory)/uprobe_events")
      defer { try? append("-:\(name)/odd\n", to: "\(directory)/uprobe_events") }
      let enable = "\(directory)/events/\(name)/odd/enable"
      try append("1", to: enable)
      defer { try? append("0", to: enable) }
      try await body()
    }
  }

  /// Others' probes stay: these files are not to be truncated.
  private static func append(_ text: String, to path: String) throws {
    let file = FileHandle(forWritingAtPath: path)
    guard let file else { throw TestFailure("cannot write to \(path)") }
    try file.write(contentsOf: Data(text.utf8))
    try file.close()
  }
}
