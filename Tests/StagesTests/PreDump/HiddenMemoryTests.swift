import CSluiceLinux
import Glibc
import Sluice
import SluiceTestSupport
import Testing

/// A kernel that shows memory which a process itself may not read to nobody else: proc_mem.force_override, Linux 6.12.
@Suite(.timeLimit(.minutes(15))) struct HiddenMemoryTests {
  @Test func `a process that has such memory is refused before anything is done`() async {
    await #expect(processExitsWith: .success) {
      unsafe sluice_set_fault_handler { site, _ in site == SLUICE_FAULT_HIDDEN_MEMORY ? EIO : 0 }
      try await MemoryTarget.run(["--odd"]) { target in
        try await withTemporaryDirectory { directory in
          let images = "\(directory)/images"
          let configuration = PreDump.Configuration(pid: target.pid, imagesDirectory: images)
          let error = await #expect(throws: SluiceError.self) { try await PreDump(configuration).run() }
          #expect(error?.code == .hiddenMemory)
          #expect(error?.message.contains("proc_mem.force_override") == true)
          #expect(names(in: directory) == [])
          // It is told before, too.
          let capabilities = try await Capabilities.find(for: target.pid)
          #expect(capabilities.failure?.code == .hiddenMemory)
          #expect(capabilities.has(.target) == false)
        }
        try await target.check()
      }
    }
  }

  @Test func `one that has none is copied`() async {
    await #expect(processExitsWith: .success) {
      unsafe sluice_set_fault_handler { site, _ in site == SLUICE_FAULT_HIDDEN_MEMORY ? EIO : 0 }
      // The gaps between a library's parts, and the ends of threads' stacks, are such mappings without pages.
      try await MemoryTarget.run(["--size", "1M"]) { target in
        try await withTemporaryDirectory { images in
          _ = try await PreDump(PreDump.Configuration(pid: target.pid, imagesDirectory: images)).run()
          let capabilities = try await Capabilities.find(for: target.pid)
          #expect(capabilities.failure == nil)
        }
      }
    }
  }
}
