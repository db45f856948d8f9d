import Foundation
import SluiceImages
import SluiceTarget
import SluiceTestSupport
import Testing

@testable import Sluice

extension StagesTests {
  /// Against images that are made up to the page, and processes whose mappings are known to the page.
  @Suite("Live mappings")
  struct LiveMappingsTests {
    private let page = ProcessMemory.pageSize

    /// Images of a task that consist of a pagemap alone: nothing else is read.
    private func publish(
      _ runs: [(address: UInt64, pages: UInt64, flags: PagemapFlags)], of pid: Int32, at path: String,
      tracked: TrackedProcesses? = nil
    ) throws {
      var images = try UnfinishedImages.create(at: path)
      let file = try images.createPagemap(pid: pid)
      var pagemap = try PagemapImageWriter(file: file, pagesID: 1, pageSize: page)
      for run in runs {
        try pagemap.append(PagemapRun(address: run.address, pageCount: run.pages, flags: run.flags))
      }
      try pagemap.finish()
      try images.publish(
        inventory: Inventory(dumpUptime: UInt64.max, preDumpMode: .read), statistics: DumpStatistics(),
        trackedProcesses: tracked, syncs: false)
    }

    private func all(_ mappings: LiveMappings) throws -> [LiveMappings.Mapping] {
      var all: [LiveMappings.Mapping] = []
      while let mapping = try mappings.next() { all.append(mapping) }
      return all
    }

    private func mapping(at address: UInt64, of mappings: [LiveMappings.Mapping]) throws
      -> LiveMappings.Mapping
    {
      try #require(mappings.first { $0.start <= address && address < $0.end })
    }

    private func pages(
      _ present: UInt64, _ inParent: UInt64, _ missing: UInt64
    ) -> LiveMappings.Pages {
      var pages = LiveMappings.Pages()
      (pages.present, pages.inParent, pages.missing) = (present, inParent, missing)
      return pages
    }

    @Test func countEveryPageOnceAndInItsMapping() async throws {
      try await MappingTarget.run { target in
        try await withTemporaryDirectory { directory in
          // Each stands alone, between two gaps.
          let full = try await target.map(pages: 12)
          let empty = try await target.tell("reserve 6")
          let runs: [(address: UInt64, pages: UInt64, flags: PagemapFlags)] = [
            // From the gap below into the mapping: 1 gone, 2 here.
            (full - page, 3, .present), (full + 2 * page, 3, [.parent]),
            // Nowhere to be had: it is missing.
            (full + 5 * page, 1, .lazy),
            // A hole of 2, then from the mapping into the gap above: 4 here, 1 gone.
            (full + 8 * page, 5, [.present, .lazy]),
            // The process has nothing there: nothing is missing.
            (empty + page, 2, .present), (empty + 3 * page, 1, .parent),
            // Above all that a process can have.
            (0x7fff_ffff_f000, 7, .parent),
          ]
          try publish(runs.sorted { $0.address < $1.address }, of: target.pid, at: directory)
          let live = try LiveMappings(path: directory, namespacePid: target.pid)
          let mappings = try all(live)
          #expect(live.command == "mapping-target")
          let (first, second) = (try mapping(at: full, of: mappings), try mapping(at: empty, of: mappings))
          #expect((first.start, first.end) == (full, full + 12 * page))
          #expect(first.pages == pages(6, 3, 3))
          #expect((second.start, second.end) == (empty, empty + 6 * page))
          #expect(second.pages == pages(2, 1, 0))
          #expect(first.permissions == "rw-p" && first.skipped == nil && first.name == "")
          #expect(live.gone == 9)
          // The images have nothing of the others.
          let others = mappings.filter { $0.start != full && $0.start != empty }
          #expect(others.allSatisfy { $0.pages.present == 0 && $0.pages.inParent == 0 })
          // A new round would copy these: the process has a stack of its own, and the vdso is taken whole.
          let vdso = try #require(mappings.first { $0.name == "[vdso]" })
          #expect(vdso.pages == pages(0, 0, (vdso.end - vdso.start) / page))
          #expect(vdso.permissions == "r-xp")
          let stack = try #require(mappings.first { $0.name == "[stack]" })
          #expect(stack.pages.missing > 0)
          // Even where the kernel's pages are there, they are not taken.
          let kernels = try #require(mappings.first { $0.name == "[vvar]" })
          #expect(kernels.skipped == "kernel" && kernels.pages == pages(0, 0, 0))
        }
      }
    }

    /// As /proc/PID/maps lists them, and with what it says of them.
    @Test func areTheKernels() async throws {
      try await MappingTarget.run { target in
        try await withTemporaryDirectory { directory in
          for protection in ["none", "r", "w", "x", "rwx"] {
            let start = try await target.map(pages: 2)
            try await target.tell("protect \(hexadecimal(start)) 2 \(protection)")
          }
          try target.waitUntilIdle()
          try publish([], of: target.pid, at: directory)
          let live = try LiveMappings(path: directory, namespacePid: target.pid)
          // Whether the kernel's own page at the end is listed depends on the way in which it is asked.
          let listed = try all(live).filter { $0.name != "[vsyscall]" }.map {
            "\(String($0.start, radix: 16))-\(String($0.end, radix: 16)) \($0.permissions)"
          }
          // To its end: the kernel gives a page at a time.
          let file = try FileHandle(forReadingFrom: URL(filePath: "/proc/\(target.pid)/maps"))
          let maps = String(decoding: try file.readToEnd() ?? Data(), as: UTF8.self)
          let expected = maps.split(separator: "\n").filter { !$0.hasSuffix("[vsyscall]") }.map { line in
            let words = line.split(separator: " ")
            let bounds = words[0].split(separator: "-").compactMap { UInt64($0, radix: 16) }
            return "\(String(bounds[0], radix: 16))-\(String(bounds[1], radix: 16)) \(words[1])"
          }
          #expect(listed == expected)
          #expect(live.gone == 0)
        }
      }
    }

    /// Images may have pages there of what was mapped before.
    @Test func tellWhatIsNotTaken() async throws {
      try await MemoryTarget.run(["--size", "1M", "--memory", "shared"]) { target in
        try await withTemporaryDirectory { directory in
          try publish([], of: target.pid, at: "\(directory)/empty")
          let shared = try #require(
            try all(LiveMappings(path: "\(directory)/empty", namespacePid: target.pid))
              .first { $0.permissions.hasSuffix("s") && $0.end - $0.start >= 1 << 20 })
          #expect(shared.permissions == "rw-s")
          #expect(shared.skipped == "shared")
          #expect(shared.pages == pages(0, 0, 0))
          try publish([(shared.start + page, 5, .present)], of: target.pid, at: "\(directory)/some")
          let live = try LiveMappings(path: "\(directory)/some", namespacePid: target.pid)
          #expect(try mapping(at: shared.start, of: all(live)).pages == pages(5, 0, 0))
          #expect(live.gone == 0)
        }
      }
    }

    @Test func sayWhoseTheImagesAre() async throws {
      try await MappingTarget.run { target in
        try await withTemporaryDirectory { directory in
          let process = try TargetProcess(pid: target.pid)
          let bootID = try Uptime.bootID()
          func owner(_ name: String, _ startTime: UInt64, _ bootID: String) throws -> ImagesOwner {
            let task = TrackedProcesses.Process(pid: target.pid, startTime: startTime)
            let path = "\(directory)/\(name)"
            try publish(
              [], of: target.pid, at: path, tracked: TrackedProcesses(bootID: bootID, processes: [task]))
            return try LiveMappings(path: path, namespacePid: target.pid).owner
          }
          #expect(try owner("same", process.startTime, bootID) == .same)
          #expect(
            try owner("other", process.startTime + 1, bootID) == .other("it is another process with that pid")
          )
          #expect(try owner("before", process.startTime, "another") != .same)
          try publish([], of: target.pid, at: "\(directory)/unknown")
          #expect(
            try LiveMappings(path: "\(directory)/unknown", namespacePid: target.pid).owner == .unknown)
        }
      }
    }

    @Test func refuseWhatIsNotThere() async throws {
      try await MappingTarget.run { target in
        try await withTemporaryDirectory { directory in
          try publish([], of: target.pid, at: directory)
          func code(_ namespacePid: Int32, _ pid: Int32) -> SluiceError.Code? {
            do throws(SluiceError) {
              _ = try LiveMappings(path: directory, namespacePid: namespacePid, pid: pid)
              return nil
            } catch {
              return error.code
            }
          }
          #expect(code(target.pid, target.pid) == nil)
          #expect(code(target.pid + 1, target.pid) == .notFound, "no images of such a task")
          #expect(code(target.pid, 4_000_000) == .notFound, "no such process")
          try await MappingTarget.run { other in
            #expect(code(target.pid, other.pid) == .invalidArgument, "another pid in its namespace")
          }

          let live = try LiveMappings(path: directory, namespacePid: target.pid)
          _ = try live.next()
          try await target.exit()
          let error = #expect(throws: SluiceError.self) { try all(live) }
          #expect(error?.code == .targetGone)
        }
      }
    }
  }
}
