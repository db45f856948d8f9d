import Foundation
import SluiceTestSupport
import Testing

@testable import SluiceTarget

@Suite("Kernel support", .timeLimit(.minutes(15)))
struct KernelSupportTests {
  private func isYes(_ answer: KernelSupport.Answer) -> Bool {
    if case .yes = answer { true } else { false }
  }

  @Test func isWhatItsVersionHas() {
    #expect(isYes(KernelSupport.pagemapScan()) == Kernel.isAtLeast(6, 7))
    #expect(isYes(KernelSupport.mappingQuery()) == Kernel.isAtLeast(6, 11))
  }

  /// Since 6.12 that depends on how a kernel was built and booted.
  @Test func hiddenMemoryIsReadableOnOlderKernels() async throws {
    let isReadable = isYes(KernelSupport.hiddenMemory())
    if !Kernel.isAtLeast(6, 12) { #expect(isReadable) }
    // And as it is with a process that has such memory.
    try await MappingTarget.run { target in
      let start = try await target.tell("hidden 1")
      let process = try TargetProcess(pid: target.pid)
      var byte: UInt8 = 0
      let got = unsafe pread(process.memory.descriptor, &byte, 1, off_t(start))
      #expect((got == 1) == isReadable)
    }
  }

  /// A kernel may be built without it, but one that is older never has it.
  @Test func asynchronousWriteProtectIsNotOlderThanTheKernel() {
    if isYes(KernelSupport.asynchronousWriteProtect()) { #expect(Kernel.isAtLeast(6, 7)) }
  }
}

@Suite("Privileges", .timeLimit(.minutes(15)))
struct PrivilegesTests {
  /// Only who has CAP_SYS_ADMIN sees page frame numbers: Documentation/admin-guide/mm/pagemap.rst.
  @Test func areThoseThatTheKernelGoesBy() throws {
    let page = UnsafeMutableRawPointer.allocate(byteCount: 1 << 16, alignment: 1 << 12)
    defer { unsafe page.deallocate() }
    unsafe page.storeBytes(of: 1, as: UInt8.self)
    let address = UInt64(UInt(bitPattern: page))
    let entry = try ProcessMemory.pagemapEntries(
      of: getpid(), from: address, to: address + ProcessMemory.pageSize)[0]
    #expect(entry >> 63 == 1, "else it is not the case that is meant")
    #expect(try Privileges().has(.sysAdmin) == (entry & (1 << 55 - 1) != 0))
  }

  @Test func haveTheLimitOnLockedMemory() throws {
    let line = try String(contentsOfFile: "/proc/self/limits", encoding: .utf8).split(separator: "\n")
      .first { $0.hasPrefix("Max locked memory") }
    let soft = try #require(line?.dropFirst("Max locked memory".count).split(separator: " ").first)
    #expect(try Privileges().lockedMemoryLimit == (soft == "unlimited" ? .max : Int64(soft)))
  }
}
