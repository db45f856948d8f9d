import CSluiceLinux
import Foundation
import SluiceTestSupport
import Testing

@testable import SluiceTarget

@Suite("Page rules", .timeLimit(.minutes(15)))
struct PageRulesTests {
  @Test(arguments: [
    ("rw-p", "", VMATreatment.take),
    ("---p", "", .take),
    ("--xp", "", .take),
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
    ("rw-p", "/[aio]", .take),
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
    ("rw-s", "anon_inode:[io_uring]", .skip(.shared)),
    ("rw-s", "/[aio] (deleted)", .skip(.aio)),
    ("rw-p", "/dev/mem", .skip(.device)),
    ("rw-p", "/dev/nvidia0", .skip(.device)),
    ("rw-p", "/sys/devices/pci0000:00/0000:00:02.0/resource0", .skip(.device)),
    ("rw-p", "/proc/bus/pci/00/02.0", .skip(.device)),
    ("rw-p", "anon_inode:[io_uring]", .skip(.device)),
    ("rw-p", "socket:[4711]", .skip(.device)),
  ])
  func treatsAMapping(permissions: String, name: String, treatment: VMATreatment) async throws {
    try await MappingTarget.run { target in
      // Where nothing is mapped: so the name is all there is to go by.
      let vma = try #require(VMA(text: "1000-2000 \(permissions) 00000000 00:00 7 \(name)"))
      var rules = PageRules(for: try TargetProcess(pid: target.pid))
      #expect(try rules.treatment(of: vma) == treatment)
    }
  }

  private func treatment(_ target: MappingTarget, at address: UInt64) throws -> VMATreatment? {
    let process = try TargetProcess(pid: target.pid)
    var rules = PageRules(for: process)
    var map = MemoryMap(of: process)
    while let vma = try map.next() {
      if vma.start <= address && address < vma.end { return try rules.treatment(of: vma) }
    }
    return nil
  }

  /// The table above says what names the kernel gives; here the kernel says it.
  @Test func knowsTheNamesThatThisKernelGives() async throws {
    try await MappingTarget.run { target in
      try await target.tell("aio")
      var reasons: [String: VMATreatment] = [:]
      let process = try TargetProcess(pid: target.pid)
      var rules = PageRules(for: process)
      var map = MemoryMap(of: process)
      while let vma = try map.next() {
        reasons[vma.name] = try rules.treatment(of: vma)
      }
      #expect(reasons.first(where: { $0.key.hasPrefix("/[aio]") })?.value == .skip(.aio))
      #expect(reasons["[vdso]"] == .takeWhole)
      #expect(reasons["[vvar]"] == .skip(.kernel))
      #expect(reasons["[stack]"] == .take)
    }
  }

  @Test func tellsARegularFileFromADevice() async throws {
    try await MappingTarget.run { target in
      // Regular files below /dev are as good as elsewhere.
      let path = "/dev/shm/sluice-test-\(UUID().uuidString)"
      defer { unsafe unlink(path) }
      let file = try await target.tell("file \(path) 1")
      #expect(try treatment(target, at: file) == .take)
      let ring = try await target.tell("ring")
      #expect(try treatment(target, at: ring) == .skip(.device))
    }
  }

  // MARK: hugetlbfs

  /// Where the kernel cannot be asked, the device alone must tell this mapping from all others.
  private func expectDeviceIsListed(_ target: MappingTarget, _ start: UInt64) throws {
    let process = try TargetProcess(pid: target.pid)
    var map = MemoryMap(of: process)
    let devices = try HugetlbDevices.listed(for: process)
    while let vma = try map.next() {
      #expect(devices.contains(vma.device) == (vma.start == start), "\(vma)")
    }
  }

  @Test(.needsRoot, arguments: ["hugetlb 512", "hugetlb-memfd 512"])
  func knowsHugePagesThatWereSetAside(command: String) async throws {
    try await withHugePages(2) {
      try await MappingTarget.run { target in
        let start = try await target.tell(command)
        #expect(try treatment(target, at: start) == .skip(.hugetlb))
        try expectDeviceIsListed(target, start)
      }
    }
  }

  @Test(.needsRoot) func knowsFilesOfAMountedHugetlbfs() async throws {
    try await withHugePages(4) {
      try await withMount("hugetlbfs") { directory in
        try await MappingTarget.run { target in
          let start = try await target.tell("file \(directory)/plain 512")
          #expect(try treatment(target, at: start) == .skip(.hugetlb))
          try expectDeviceIsListed(target, start)
        }
      }
    }
  }

  @Test func readsMountinfo() {
    let text = """
      22 28 0:20 / /sys rw,nosuid shared:7 - sysfs sysfs rw
      31 22 0:27 / /dev/hugepages rw,relatime shared:15 master:3 - hugetlbfs hugetlbfs rw,pagesize=2M
      32 22 0:28 / /mnt/huge\\040- rw - hugetlbfs none rw,pagesize=1024M
      33 22 0:29 / /hugetlbfs rw,relatime - tmpfs hugetlbfs rw
      34 22 0:30 / / rw -
      35 22 x:31 / / rw - hugetlbfs none rw
      36

      """
    #expect(
      HugetlbDevices.mounted(in: text) == [DeviceNumber(major: 0, minor: 27), .init(major: 0, minor: 28)])
  }
}
