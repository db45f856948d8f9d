import Testing

@testable import SluiceTarget

@Suite("Process status", .timeLimit(.minutes(15)))
struct ProcessStatusTests {
  private func stat(name: String = "sleep", state: String = "S", flags: UInt64 = 0x40_0000) -> String {
    "4711 (\(name)) \(state) 1 4711 4711 34816 4711 \(flags) 113 0 0 0 1 2 0 0 20 0 1 0 987654321 "
      + "5689344 447 18446744073709551615 94 95 140 141 142 0 0 0 0 0 0 0 17 1 0 0 0 0 0 94 95 94 140 140 140 140 0\n"
  }

  private func status(threadGroup: String = "4711", namespaces: String? = "4711") -> String {
    let namespaceLine = namespaces.map { "NSpid:\t\($0)\n" } ?? ""
    return "Name:\tsleep\nUmask:\t0022\nState:\tS (sleeping)\nTgid:\t\(threadGroup)\nNgid:\t0\nPid:\t4711\n"
      + namespaceLine + "VmPeak:\t    5556 kB\n"
  }

  @Test func readsTheFields() throws {
    let process = try #require(ProcessStatus(stat: stat(), status: status()))
    #expect(process.command == "sleep")
    #expect(process.state == "S")
    #expect(process.startTime == 987_654_321)
    #expect(process.stackStart == 140)
    #expect(!process.isKernelThread)
    #expect(process.threadGroup == 4711)
    #expect(process.namespacePid == 4711)
  }

  @Test(arguments: ["a b", "(sd-pam)", "a) R 1 2", ") Z (", "", "()", "tmux: server", ")"])
  func readsAnyName(name: String) throws {
    let process = try #require(ProcessStatus(stat: stat(name: name), status: status()))
    #expect(process.command == name)
    #expect(process.state == "S")
    #expect(process.startTime == 987_654_321)
  }

  @Test func takesTheInnermostPid() throws {
    let nested = try #require(ProcessStatus(stat: stat(), status: status(namespaces: "4711\t32\t1")))
    #expect(nested.namespacePid == 1)
    let without = try #require(ProcessStatus(stat: stat(), status: status(namespaces: nil)))
    #expect(without.namespacePid == 4711)
  }

  @Test func knowsKernelThreadsAndZombies() throws {
    #expect(try #require(ProcessStatus(stat: stat(flags: 0x20_8040), status: status())).isKernelThread)
    #expect(try #require(ProcessStatus(stat: stat(state: "Z"), status: status())).state == "Z")
  }

  @Test func knowsWhatHasEnded() throws {
    #expect(!(try #require(ProcessStatus(stat: stat(), status: status())).hasEnded))
    #expect(!(try #require(ProcessStatus(stat: stat(state: "T"), status: status())).hasEnded))
    #expect(try #require(ProcessStatus(stat: stat(state: "Z"), status: status())).hasEnded)
    #expect(try #require(ProcessStatus(stat: stat(state: "X"), status: status())).hasEnded)
    let exiting = try #require(ProcessStatus(stat: stat(state: "R", flags: 0x40_0004), status: status()))
    #expect(exiting.hasEnded, "its memory is gone before it is a zombie")
  }

  @Test func knowsThreads() throws {
    #expect(
      try #require(ProcessStatus(stat: stat(), status: status(threadGroup: "4700"))).threadGroup == 4700)
  }

  @Test(arguments: ["", "4711", "4711 sleep S 1", "4711 (sleep", "4711 )sleep( S 1", "4711 (sleep) S 1 2 3"])
  func refusesWhatIsNoStat(stat: String) {
    #expect(ProcessStatus(stat: stat, status: status()) == nil)
  }

  @Test(arguments: ["", "Name:\tsleep\n", "Tgid:\n", "Tgid:\tmany\n"])
  func refusesWhatIsNoStatus(status: String) {
    #expect(ProcessStatus(stat: stat(), status: status) == nil)
  }
}
