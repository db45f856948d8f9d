import Foundation
import SluiceTestSupport
import Testing

/// What programs read: the names and kinds of everything that the commands print as JSON.
@Suite("JSON of the commands", .timeLimit(.minutes(15)))
struct JSONFormTests {
  /// The form of an object: a line for each value, with its path and its kind. Elements of an array count as one.
  private enum Form: Decodable {
    case kind(String)
    case elements([Form])
    case members([String: Form])

    init(from decoder: any Decoder) throws {
      let value = try decoder.singleValueContainer()
      if (try? value.decode(Bool.self)) != nil {
        self = .kind("bool")
      } else if (try? value.decode(UInt64.self)) != nil {
        self = .kind("integer")
      } else if (try? value.decode(Double.self)) != nil {
        self = .kind("number")
      } else if (try? value.decode(String.self)) != nil {
        self = .kind("string")
      } else if let elements = try? value.decode([Form].self) {
        self = .elements(elements)
      } else {
        self = .members(try value.decode([String: Form].self))
      }
    }

    /// Members that are named by a reason or a pid.
    private static let keyed: Set = ["mappings_skipped", "tasks_skipped"]

    func lines(at path: String = "") -> Set<String> {
      switch self {
      case .kind(let kind): ["\(path): \(kind)"]
      case .elements(let elements): elements.reduce(into: []) { $0.formUnion($1.lines(at: path + "[]")) }
      case .members(let members):
        members.reduce(into: []) { lines, member in
          let name = Self.keyed.contains(path) ? "*" : member.key
          lines.formUnion(member.value.lines(at: path.isEmpty ? name : "\(path).\(name)"))
        }
      }
    }
  }

  /// Expects what a command has printed to be as docs/sluice.schema.json describes it, which people program by.
  private func expectSchema(
    _ text: some StringProtocol, _ name: String, sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    let schema = try JSONSchema.ofSluice()
    let problems = try schema.problems(of: text, as: name)
    #expect(problems.isEmpty, "\(problems) in \(text)", sourceLocation: sourceLocation)
  }

  /// - Parameter expected: lines of a form; "number" where a number may be a whole one, too, and a "?" before what need
  ///   not be there.
  private func expectForm(
    _ text: some StringProtocol, _ expected: String, sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    let found = try JSONDecoder().decode(Form.self, from: Data(text.utf8)).lines()
    var rest = found
    for line in expected.split(separator: "\n").map(String.init) {
      let isOptional = line.hasPrefix("?")
      let name = isOptional ? String(line.dropFirst()) : line
      var candidates = [name]
      if name.hasSuffix(": number") { candidates.append(name.dropLast(6) + "integer") }
      let present = rest.intersection(candidates)
      #expect(!present.isEmpty || isOptional, "\(name) is missing in \(text)", sourceLocation: sourceLocation)
      rest.subtract(present)
    }
    #expect(rest == [], "not expected in \(text)", sourceLocation: sourceLocation)
  }

  private static let preDump = """
    pid: integer
    namespace_pid: integer
    images_dir: string
    tries: integer
    ?parent_dir: string
    tasks[].pid: integer
    tasks[].namespace_pid: integer
    tasks[].pages_id: integer
    tasks[].pages_scanned: integer
    tasks[].pages_written: integer
    tasks[].pages_skipped_parent: integer
    tracker: string
    page_size: integer
    pages_scanned: integer
    pages_written: integer
    pages_skipped_parent: integer
    pages_vanished: integer
    pages_forced: integer
    pages_swapped: integer
    pages_skipped.zero: integer
    pages_skipped.guard: integer
    pages_skipped.swapped: integer
    bytes_written: integer
    mappings: integer
    mappings_skipped.*: integer
    ?tasks_skipped.*: string
    duration_us: integer
    final: bool
    frozen_us: integer
    stopped_us: integer
    ?predicted_stop_us: integer
    injection_us: integer
    injections: integer
    stop.stop_us: integer
    stop.scan_us: integer
    stop.clear_us: integer
    stop.copy_us: integer
    stop.resume_us: integer
    clear_us: integer
    memory_budget: integer
    buffers_bytes: integer
    peak_rss_bytes: integer
    pages_zero: integer
    hole_bytes: integer
    readers: integer
    ?numa.nodes[].node: integer
    ?numa.nodes[].readers: integer
    ?numa.nodes[].buffers: integer
    ?numa.nodes[].buffers_on_node: integer
    ?numa.nodes[].buffers_elsewhere: integer
    ?numa.nodes[].pages_local: integer
    ?numa.nodes[].pages_remote: integer
    ?numa.nodes[].bytes_local: integer
    ?numa.nodes[].bytes_remote: integer
    ?numa.pages_unknown: integer
    ?numa.pages_asked: integer
    ?numa.ask_calls: integer
    ?numa.ask_us: integer
    ?numa.writer_node: integer
    ?numa.given_up: string
    write_engine: string
    direct_io: bool
    stalls.walker_without_buffer.us: integer
    stalls.walker_without_buffer.bytes: integer
    stalls.walker_plans_full.us: integer
    stalls.walker_plans_full.bytes: integer
    stalls.reader_without_plan.us: integer
    stalls.reader_without_plan.bytes: integer
    stalls.reader_chunks_full.us: integer
    stalls.reader_chunks_full.bytes: integer
    stalls.writer_without_chunk.us: integer
    stalls.writer_without_chunk.bytes: integer
    stalls.writer_queue_full.us: integer
    stalls.writer_queue_full.bytes: integer

    """

  private static let show = """
    images_dir: string
    finished: bool
    received: bool
    set_aside: bool
    ?deduplicated: string
    dump_uptime_us: integer
    pre_dump_mode: string
    ?parent: string
    tasks[].pid: integer
    tasks[].pages_id: integer
    tasks[].entries: integer
    tasks[].pages_present: integer
    tasks[].pages_in_parent: integer
    tasks[].lowest_address: integer
    tasks[].highest_address: integer
    tasks[].file_bytes: integer
    tasks[].allocated_bytes: integer

    """

  private static let verify = """
    images_dir: string
    ok: bool
    depth: integer
    pagemaps: integer
    pages: integer
    ?problems[]: string
    ?notes[]: string

    """

  private func run(_ arguments: [String]) async throws -> [String] {
    let result = try await SluiceCommandLine.run(arguments + ["--json"])
    try #require(result.end == .exited(0), "\(result.errors) \(result.output)")
    return result.output.split(separator: "\n").map(String.init)
  }

  @Test func ofRoundsAndOfWhatReadsThem() async throws {
    try await MemoryTarget.run(["--size", "2M", "--random", "--write-rate", "max"]) { target in
      try await withTemporaryDirectory { images in
        let rounds = try await run([
          "pre-dump", "-t", "\(target.pid)", "-D", images, "--rounds", "3", "--final", "--tracker", "content",
          "--until-pages", "0", "--until-skipped", "100", "--max-growth", "1000000",
        ])
        try #require(rounds.count == 3)
        for line in rounds {
          try expectForm(line, Self.preDump + "round: integer\n?rounds_end: string")
          try expectSchema(line, "pre-dump")
        }
        let last = try jsonObject(rounds[2] + "\n")
        let stop = try #require(last["stop"] as? [String: Int])
        let frozen = try #require(last["frozen_us"] as? Int)
        let parts = ["scan_us", "clear_us", "copy_us", "resume_us"].compactMap { stop[$0] }.reduce(0, +)
        #expect(frozen == parts && frozen > 0)
        // Microseconds, and no other unit.
        #expect(try (1_000..<600_000_000).contains(#require(last["duration_us"] as? Int)))
        #expect(last["rounds_end"] as? String == "rounds")

        let shown = try await run(["show", "\(images)/3", "--pages", "--mappings"])
        try expectForm(try #require(shown.first), Self.show)
        try expectSchema(try #require(shown.first), "show")
        let lines = Dictionary(grouping: shown.dropFirst()) { line in
          ["place", "process", "gone_from_process", "permissions"].first { line.contains("\"\($0)\":") } ?? ""
        }
        for line in try #require(lines["place"]) {
          try expectForm(line, "pid: integer\nstart: string\nend: string\npages: integer\nplace: string")
          try expectSchema(line, "show-pages")
        }
        for line in try #require(lines["process"]) {
          try expectForm(
            line, "pid: integer\nprocess: string\n?host_pid: integer\n?command: string\n?reason: string")
          try expectSchema(line, "show-process")
        }
        for line in try #require(lines["permissions"]) {
          try expectForm(
            line,
            "pid: integer\nstart: string\nend: string\npermissions: string\nname: string\npages_present: integer\n"
              + "pages_in_parent: integer\npages_missing: integer\n?skipped: string")
          try expectSchema(line, "show-mapping")
        }
        for line in try #require(lines["gone_from_process"]) {
          try expectForm(line, "pid: integer\ngone_from_process: integer")
          try expectSchema(line, "show-gone")
        }
        #expect(lines[""] == nil)

        let verified = try #require(try await run(["verify", "-D", "\(images)/3"]).first)
        try expectForm(verified, Self.verify)
        try expectSchema(verified, "verify")
        let flattened = try await run(["flatten", "-D", "\(images)/3", "-o", "\(images)/flat"])
        try expectForm(
          try #require(flattened.first),
          "images_dir: string\noutput: string\ndepth: integer\npagemaps: integer\npages: integer\nbytes: integer\n"
            + "hole_bytes: integer\nis_base: bool")
        try expectSchema(try #require(flattened.first), "flatten")
        let freed = try #require(try await run(["dedup", "-D", "\(images)/3"]).first)
        try expectForm(freed, "images_dir: string\npages: integer\nbytes: integer")
        try expectSchema(freed, "dedup")
        try expectForm(try #require(try await run(["show", "\(images)/2"]).first), Self.show)
      }
    }
  }

  @Test func ofOnePreDumpAndItsComparison() async throws {
    try await MemoryTarget.run(["--size", "2M", "--write-rate", "max"]) { target in
      try await withTemporaryDirectory { directory in
        let images = "\(directory)/images"
        let made = try await run(["pre-dump", "-t", "\(target.pid)", "-D", images])
        try expectForm(try #require(made.first), Self.preDump)
        try expectSchema(try #require(made.first), "pre-dump")
        let result = try await SluiceCommandLine.run([
          "verify", "-D", images, "-t", "\(target.pid)", "--json",
        ])
        #expect(result.end == .exited(65), "\(result.errors)")
        try expectSchema(result.output, "verify")
        try expectForm(
          result.output,
          Self.verify + """
            tasks[].pid: integer
            tasks[].namespace_pid: integer
            tasks[].has_images: bool
            tasks[].equal: integer
            tasks[].differing: integer
            tasks[].missing: integer
            tasks[].gone: integer
            tasks[].unmapped: integer
            tasks[].mappings[].start: string
            tasks[].mappings[].end: string
            tasks[].mappings[].name: string
            tasks[].mappings[].differing: integer
            tasks[].mappings[].missing: integer
            tasks[].mappings[].gone: integer
            stopped_us: integer
            """)
        let checked = try #require(
          try await run(["check", "-t", "\(target.pid)", "-D", images + "2"]).first)
        try expectSchema(checked, "check")
        try expectForm(
          checked,
          """
          findings[].subject: string
          ?findings[].available: bool
          findings[].found: string
          ?findings[].fallback: string
          ?findings[].advice: string
          exit_code: integer
          """)
        let refused = try await SluiceCommandLine.run(["check", "-t", "1", "-D", images, "--json"])
        #expect(refused.output.contains("\"failure\":\""), "\(refused.output)")
        try expectSchema(refused.output, "check")
        let told = try await SluiceCommandLine.preDump(
          pid: target.pid, images: "\(directory)/3", ["--progress", "json", "--log-format", "json"])
        let lines = told.errorLines
        #expect(
          lines.contains { $0.contains("bytes_written") } && lines.contains { $0.contains("\"message\"") })
        for line in lines { try expectSchema(line, line.contains("bytes_written") ? "progress" : "message") }
      }
    }
  }

  @Test(.enabled(if: Kernel.isAtLeast(6, 7))) func ofAMeasurement() async throws {
    try await MemoryTarget.run(["--size", "2M", "--write-rate", "max"]) { target in
      let measured = try await run(["dirty-rate", "-t", "\(target.pid)", "--seconds", "0.5"])
      try expectSchema(try #require(measured.first), "dirty-rate")
      try expectForm(
        try #require(measured.first),
        """
        pid: integer
        processes: integer
        tracker: string
        page_size: integer
        total_pages: integer
        pages_per_second: number
        bytes_per_second: number
        joined_gap: integer
        windows[].pages: integer
        windows[].seconds: number
        forecast.copy_rate: integer
        forecast.total_seconds: number
        forecast.stop_seconds_least: number
        forecast.stop_seconds_most: number
        forecast.rounds[].pages: integer
        forecast.rounds[].seconds: number
        forecast.end: string
        forecast.final_pages: integer
        forecast.final_seconds: number
        mappings[].pid: integer
        mappings[].start: string
        mappings[].end: string
        mappings[].name: string
        mappings[].pages: integer
        mappings[].pages_per_second: number
        """)
    }
  }
}
