import Foundation
import Sluice
import SluiceTestSupport

/// Something that a process does to its memory, or to itself, while it is copied.
struct Race: Sendable {
  /// What must come of the copy.
  enum Outcome: Sendable {
    /// Images that differ from the process, as it is in the end, by no more than this: pages that it has and the
    /// images have not, as they are new, and pages that the images have for no need. No page differs.
    case images(missing: Int = 0, extra: Int = 0)
    case failure(SluiceError.Code, saying: String)
  }

  /// A process with a range of its own that the race is about.
  struct Target: Sendable {
    let process: MappingTarget
    /// Another one, for what takes two.
    let helper: MappingTarget
    let start: UInt64
    let directory: String

    /// A command about some pages of the range.
    func tell(_ command: String, _ pages: Range<UInt64>, _ rest: String = "") throws {
      let address = hexadecimal(start + pages.lowerBound * ProcessMemory.pageSize)
      try process.tellNow("\(command) \(address) \(pages.count)\(rest.isEmpty ? "" : " ")\(rest)")
    }
  }

  /// How many pages the range has.
  static let pages: UInt64 = 64

  let name: String
  /// The command that makes the range.
  var range = "map \(pages)"
  let outcome: Outcome
  /// Whether the memory of the process stays as it is.
  var leavesMemory = false
  let change: @Sendable (Target) throws -> Void

  init(
    _ name: String, range: String = "map \(pages)", _ outcome: Outcome = .images(),
    leavesMemory: Bool = false,
    _ change: @escaping @Sendable (Target) throws -> Void
  ) {
    self.name = name
    self.range = range
    self.outcome = outcome
    self.leavesMemory = leavesMemory
    self.change = change
  }
}

extension Race {
  /// madvise(2)
  private static let dontNeed = "4"
  private static let guardInstall = "102"

  private static let all = 0..<pages

  /// Those that do something to memory.
  static let ofMemory: [Race] = [
    Race("all unmapped") { try $0.tell("unmap", all) },
    Race("first page unmapped") { try $0.tell("unmap", 0..<1) },
    Race("middle unmapped") { try $0.tell("unmap", 24..<40) },
    Race("shrunk") { try $0.tell("unmap", 32..<pages) },
    Race("every other page unmapped") {
      for page in stride(from: 0, to: pages, by: 2) { try $0.tell("unmap", page..<page + 1) }
    },
    Race("moved", .images(missing: Int(pages))) { try $0.tell("move", all) },
    Race("half of it moved", .images(missing: Int(pages) / 2)) { try $0.tell("move", 16..<48) },
    Race("made inaccessible") { try $0.tell("protect", all, "none") },
    Race("middle made inaccessible") { try $0.tell("protect", 24..<40, "none") },
    Race("made read-only") { try $0.tell("protect", all, "r") },
    Race("made accessible", range: "hidden \(pages)") { try $0.tell("protect", all, "rw") },
    Race("written") { try $0.tell("stamp", all, "4711") },
    Race("replaced") {
      try $0.tell("again", all)
      try $0.tell("stamp", all, "4711")
    },
    Race("middle replaced and hidden") {
      try $0.tell("again", 24..<40)
      try $0.tell("stamp", 24..<40, "4711")
      try $0.tell("protect", 24..<40, "none")
    },
    Race("replaced by a file", .images(extra: Int(pages))) {
      try $0.tell("file-at", all, "\($0.directory)/file")
    },
    // What is read then are zeros, which is what the process would read.
    Race("dropped") { try $0.tell("advise", all, dontNeed) },
    Race("dropped and hidden") {
      try $0.tell("advise", 10..<30, dontNeed)
      try $0.tell("protect", all, "none")
    },
    Race("another one mapped", .images(missing: 16)) { try $0.process.tellNow("map 16") },
    Race("grown downwards", range: "stack \(pages)", .images(missing: 2)) {
      try $0.process.tellNow("fill \(hexadecimal($0.start - 8 * ProcessMemory.pageSize)) 2")
    },
    Race("shrunk from below", range: "stack \(pages)") { try $0.tell("unmap", 0..<32) },
  ]

  /// Those that only newer kernels know.
  static var ofNewMemory: [Race] {
    (Kernel.isAtLeast(6, 15) ? [Race("guarded") { try $0.tell("advise", 8..<16, guardInstall) }] : [])
      + (Kernel.isAtLeast(6, 6)
        ? [Race("poisoned", .failure(.io, saying: "cannot be read")) { try $0.tell("poison", 8..<9) }] : [])
  }

  private static let ended = Outcome.failure(.targetGone, saying: "ended while it was copied")

  /// Those that do something to the whole process.
  static let ofProcess: [Race] = [
    Race("exit", ended) {
      try $0.process.program.write(line: "exit 0")
      _ = try $0.process.program.resultNow()
    },
    Race("death, not waited for", ended) {
      $0.process.program.send(SIGKILL)
      try $0.process.program.untilEndedNow()
    },
    Race("execve", .failure(.targetGone, saying: "executed another program")) {
      try $0.process.tellNow("exec")
    },
    Race("end of the main thread", .failure(.targetGone, saying: "main thread"), leavesMemory: true) {
      try $0.process.tellNow("leave-main-thread")
    },
  ]

  /// Only root may choose a pid.
  static var ofPid: [Race] {
    guard geteuid() == 0 else { return [] }
    return [
      Race("pid given to another", ended) {
        $0.process.program.send(SIGKILL)
        _ = try $0.process.program.resultNow()
        try $0.helper.tellNow("child-as \($0.process.pid)")
      }
    ]
  }
}
