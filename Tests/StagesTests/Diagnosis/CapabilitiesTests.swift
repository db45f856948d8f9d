import Foundation
import SluiceTestSupport
import Testing

@testable import Sluice
@testable import SluiceTarget

extension StagesTests {
  @Suite("Capabilities")
  struct CapabilitiesTests {
    @Test func tellThatAPreDumpWouldWork() async throws {
      try await MemoryTarget.run(["--size", "1M"]) { target in
        try await withTemporaryDirectory { directory in
          let capabilities = Capabilities(pid: target.pid, imagesDirectory: "\(directory)/images")
          #expect(capabilities.failure == nil)
          #expect(capabilities.has(.target) == true)
          #expect(capabilities.has(.imagesDirectory) == true)
          let subjects = capabilities.findings.map(\.subject)
          #expect(
            Set(subjects) == Set(Capabilities.Subject.allCases) && subjects.count == Set(subjects).count)
          #expect(names(in: directory) == [], "nothing is left of the trial")
          let report = try await PreDump(.init(pid: target.pid, imagesDirectory: "\(directory)/images")).run()
          #expect(capabilities.has(.directIO) == report.isDirect)
          #expect(capabilities.has(.ioUring) == (report.writeEngine == "io_uring"))
          #expect(capabilities.has(.softDirty) == (report.tracker == .softDirty))
        }
        try await target.check()
      }
      try await StagesTests.expectNoThreads()
    }

    @Test func sayWhatIsDoneWithoutSomethingAndOnlyThen() {
      for finding in Capabilities().findings {
        #expect((finding.fallback != nil) == (finding.isAvailable == false), "\(finding)")
        #expect(!finding.found.isEmpty && !finding.found.contains("\n"))
      }
    }

    @Test func leaveOutWhatWasNotAskedFor() {
      let capabilities = Capabilities()
      let subjects = Set(capabilities.findings.map(\.subject))
      #expect(subjects.isDisjoint(with: [.target, .imagesDirectory, .directIO, .mappings]))
      #expect(capabilities.failure == nil)
    }

    /// A place where no pre-dump can be made, of which nothing may be changed.
    enum Place: CaseIterable {
      case holdsImages, isAFile, isBelowAFile, isUnnamed, isTheProcesses

      func make(in directory: String) throws -> String {
        switch self {
        case .holdsImages:
          try Data().write(to: URL(filePath: "\(directory)/core-1.img"))
          return directory
        case .isAFile:
          try Data().write(to: URL(filePath: "\(directory)/file"))
          return "\(directory)/file"
        case .isBelowAFile:
          try Data().write(to: URL(filePath: "\(directory)/file"))
          return "\(directory)/file/images"
        case .isUnnamed: return ""
        case .isTheProcesses: return "/proc/images"
        }
      }
    }

    /// The failure is the one that a pre-dump really has.
    private func expectTheSameFailure(pid: Int32, _ images: String) async throws {
      let told = try #require(Capabilities(pid: pid, imagesDirectory: images).failure)
      let error = await #expect(throws: SluiceError.self) {
        try await PreDump(.init(pid: pid, imagesDirectory: images)).run()
      }
      #expect(error?.code == told.code, "\(told), and \(error.map { "\($0)" } ?? "nothing")")
    }

    @Test(arguments: Place.allCases)
    func tellThatThePlaceIsWrong(place: Place) async throws {
      try await MemoryTarget.run(["--size", "1M"]) { target in
        try await withTemporaryDirectory { directory in
          let path = try place.make(in: directory)
          let before = names(in: directory)
          try await expectTheSameFailure(pid: target.pid, path)
          #expect(names(in: directory) == before)
        }
      }
    }

    @Test func tellThatTheProcessIsWrongBeforeThePlace() async throws {
      for pid: Int32 in [0, 1 << 22, getpid()] {
        try await expectTheSameFailure(pid: pid, "/proc/nowhere/images")
        let nowhere = Capabilities(pid: pid, imagesDirectory: "/proc/nowhere/images")
        #expect(nowhere.has(.imagesDirectory) == false)
      }
    }

    @Test(.needsRoot) func tellThatAFilesystemHasNoDirectIO() async throws {
      try await withMount("ramfs") { directory in
        let capabilities = Capabilities(imagesDirectory: "\(directory)/images")
        #expect(capabilities.failure == nil)
        #expect(capabilities.has(.directIO) == false)
        let place = capabilities.findings.first { $0.subject == .imagesDirectory }
        #expect(place?.found.contains("memory") == true)
        #expect(names(in: directory) == [])
      }
    }

    @Test func tellThatAKernelHasNoRing() async throws {
      await #expect(processExitsWith: .success) {
        Faults.start(.one(Faults.Strike(site: .ringOpen, call: 0, errno: ENOSYS)))
        let capabilities = Capabilities()
        precondition(Faults.stop().strikes.count == 1)
        let ring = capabilities.findings.first { $0.subject == .ioUring }
        precondition(ring?.isAvailable == false && ring?.found.contains("ENOSYS") == true)
        precondition(ring?.fallback?.contains("pwrite") == true)
        precondition(capabilities.failure == nil)
      }
    }

    @Test func tellThatTheTrackerCannotBeTried() async throws {
      await #expect(processExitsWith: .success) {
        Faults.start(.one(Faults.Strike(site: .ownPagemap, call: 0, errno: EMFILE)))
        let capabilities = Capabilities()
        precondition(Faults.stop().strikes.count == 1)
        precondition(capabilities.findings.first { $0.subject == .softDirty }?.isAvailable == nil)
        precondition(capabilities.failure?.code == .system)
      }
    }

    @Test(arguments: [
      (0, 64 << 10, false), (0, 64 << 20, true), (0, .max, true), (1 << 14, 64 << 10, true),
    ])
    func knowHowMuchMayBeLocked(capabilities: UInt64, limit: Int64, isEnough: Bool) {
      let privileges = Privileges(effective: capabilities, lockedMemoryLimit: limit)
      #expect(Capabilities.lockedMemory(privileges).isAvailable == isEnough)
    }

    @Test(
      arguments: [
        (.noYama, false, true), (.unknown, true, nil), (.value(0), false, true), (.value(1), false, false),
        (.value(1), true, true), (.value(2), true, true), (.value(2), false, false), (.value(3), true, false),
      ] as [(Privileges.PtraceScope, Bool, Bool?)])
    func knowTheScopesOfYama(scope: Privileges.PtraceScope, canTrace: Bool, isAvailable: Bool?) {
      #expect(Capabilities.ptraceScope(scope, canTrace: canTrace).isAvailable == isAvailable)
    }
  }
}
