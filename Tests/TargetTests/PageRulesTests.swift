import SluiceTestSupport
import Testing

@testable import SluiceTarget

@Suite("Page rules", .timeLimit(.minutes(5)))
struct PageRulesTests {
  @Test(arguments: [
    ("rw-p", "", VMATreatment.take),
    ("---p", "", .take),
    ("rw-p", "[heap]", .take),
    ("rw-p", "[stack]", .take),
    ("rw-p", "[anon:glibc: malloc]", .take),
    ("r-xp", "/usr/bin/sleep", .take),
    ("rw-p", "/usr/lib/libc.so.6 (deleted)", .take),
    ("rw-p", "/memfd:jit (deleted)", .take),
    ("rw-p", "/dev/zero", .take),
    ("rw-p", "/dev/zero (deleted)", .take),
    ("rw-p", "/dev/shm/segment", .take),
    // A name that only begins like one of the kernel's is a file's.
    ("rw-p", "/device", .take),
    ("rw-p", "/tmp/[vvar]", .take),
    ("r-xp", "[vdso]", .takeWhole),
    ("r--p", "[vvar]", .skip(.kernel)),
    ("r--p", "[vvar_vclock]", .skip(.kernel)),
    ("--xp", "[vsyscall]", .skip(.kernel)),
    ("--xp", "[uprobes]", .skip(.kernel)),
    ("rw-s", "", .skip(.shared)),
    ("rw-s", "/tmp/file", .skip(.shared)),
    ("rw-s", "/dev/zero (deleted)", .skip(.shared)),
    ("rw-s", "/SYSV00000000 (deleted)", .skip(.shared)),
    ("rw-s", "/memfd:x (deleted)", .skip(.shared)),
    ("rw-s", "/dev/dri/card0", .skip(.shared)),
    ("rw-s", "/[aio] (deleted)", .skip(.aio)),
    ("rw-p", "/anon_hugepage (deleted)", .skip(.hugetlb)),
    ("rw-p", "/dev/mem", .skip(.device)),
    ("rw-p", "/dev/nvidia0", .skip(.device)),
  ])
  func treatsAMapping(permissions: String, name: String, treatment: VMATreatment) throws {
    let vma = try #require(VMA(text: "1000-2000 \(permissions) 00000000 00:00 7 \(name)"))
    #expect(vma.treatment == treatment)
  }

  /// The table above says what names the kernel gives; here the kernel says it.
  @Test func knowsTheNamesThatThisKernelGives() async throws {
    try await MappingTarget.run { target in
      try await target.tell("aio")
      var reasons: [String: VMATreatment] = [:]
      let process = try TargetProcess(pid: target.pid)
      var map = try MemoryMap(of: process)
      while let vma = try map.next() {
        reasons[vma.name] = vma.treatment
      }
      #expect(reasons.first(where: { $0.key.hasPrefix("/[aio]") })?.value == .skip(.aio))
      #expect(reasons["[vdso]"] == .takeWhole)
      #expect(reasons["[vvar]"] == .skip(.kernel))
      #expect(reasons["[stack]"] == .take)
    }
  }
}
