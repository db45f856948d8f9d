import SluiceTestSupport
import Testing

/// Images of a process that stood still meanwhile, and what the independent reader and CRIU's own tool say of them.
struct CheckedCopy {
  let figures: [String: Any]
  let comparison: ImageComparison

  /// The ways of finding page states that this kernel has.
  static let pageStates = Kernel.isAtLeast(6, 7) ? ["scan", "pagemap"] : ["pagemap"]

  /// Copies a process with `sluice pre-dump`; the images are gone when this returns.
  static func make(
    of program: Program, pageStates: String, _ options: [String] = [],
    sourceLocation: SourceLocation = #_sourceLocation
  ) async throws -> CheckedCopy {
    try await program.stop()
    defer { program.resume() }
    return try await withTemporaryDirectory { directory in
      let images = "\(directory)/images"
      let result = try await SluiceCommandLine.preDump(
        pid: program.pid, images: images, ["--json", "--page-states", pageStates] + options)
      try #require(result.end == .exited(0), "\(result.errors)", sourceLocation: sourceLocation)
      let figures = try jsonObject(result.output)
      let comparison = try await ImageComparison.run(pid: program.pid, images: images, options: ["--list"])
      let pages = try await Crit.pageCount("\(images)/pagemap-\(program.pid).img")
      #expect(pages == figures["pages_written"] as? Int, sourceLocation: sourceLocation)
      #expect(try await Crit.decode("\(images)/inventory.img").count == 1, sourceLocation: sourceLocation)
      #expect(try await Crit.decode("\(images)/stats-dump").count == 1, sourceLocation: sourceLocation)
      return CheckedCopy(figures: figures, comparison: comparison)
    }
  }

  func number(_ key: String) throws -> Int {
    try #require(figures[key] as? Int, "\(key)")
  }

  /// A number of those that are told by reason; 0 for a reason that there was not.
  func number(_ key: String, _ reason: String) throws -> Int {
    try #require(figures[key] as? [String: Int], "\(key)")[reason] ?? 0
  }
}
