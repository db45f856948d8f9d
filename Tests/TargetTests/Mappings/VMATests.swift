import Testing

@testable import SluiceTarget

@Suite("VMA", .timeLimit(.minutes(15)))
struct VMATests {
  @Test func readsAFileMapping() throws {
    let vma = try #require(
      VMA(text: "55d3c1a2f000-55d3c1a31000 r-xp 00002000 fe:01 1048613                    /usr/bin/sleep"))
    #expect(vma.start == 0x55d3_c1a2_f000)
    #expect(vma.end == 0x55d3_c1a3_1000)
    #expect(vma.byteCount == 0x2000)
    #expect(vma.isReadable)
    #expect(!vma.isWritable)
    #expect(vma.isExecutable)
    #expect(!vma.isShared)
    #expect(vma.inode == 1_048_613)
    #expect(vma.name == "/usr/bin/sleep")
  }

  @Test(arguments: [
    ("---p", [false, false, false, false]), ("r--p", [true, false, false, false]),
    ("-w-p", [false, true, false, false]), ("--xp", [false, false, true, false]),
    ("---s", [false, false, false, true]), ("rwxs", [true, true, true, true]),
  ])
  func readsPermissions(letters: String, expected: [Bool]) throws {
    let vma = try #require(VMA(text: "1000-2000 \(letters) 00000000 00:00 0 "))
    #expect([vma.isReadable, vma.isWritable, vma.isExecutable, vma.isShared] == expected)
  }

  @Test(arguments: [
    // The kernel pads to a column and writes a newline in a name as \012; everything else stands as it is.
    ("7ffc0000-7ffd0000 rw-p 00000000 00:00 0                          [stack]", "[stack]"),
    ("1000-2000 r--p 00000000 00:00 0                          [vvar]", "[vvar]"),
    ("1000-2000 rw-p 00000000 00:00 0 ", ""),
    ("1000-2000 rw-p 00000000 00:00 0", ""),
    ("1000-2000 rw-p 00000000 00:00 0                          [anon: a b ]", "[anon: a b ]"),
    ("1000-2000 rw-s 00000000 00:01 2052                       /memfd:x (deleted)", "/memfd:x (deleted)"),
    ("1000-2000 r--p 00000000 fe:01 5 /tmp/a  b", "/tmp/a  b"),
    (#"1000-2000 r--p 00000000 fe:01 5 /tmp/two\012lines"#, #"/tmp/two\012lines"#),
    (
      "1000-2000 r--p 00000000 fe:01 5 /tmp/1000-2000 rw-p 00000000 00:00 0",
      "/tmp/1000-2000 rw-p 00000000 00:00 0"
    ),
    ("1000-2000 r--p 00000000 fe:01 5 /tmp/ü", "/tmp/ü"),
  ])
  func readsNames(line: String, name: String) throws {
    #expect(try #require(VMA(text: line)).name == name)
  }

  @Test func readsTheHighestAddresses() throws {
    let vsyscall = try #require(
      VMA(text: "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]"))
    #expect(vsyscall.start == 0xffff_ffff_ff60_0000)
    #expect(vsyscall.end == 0xffff_ffff_ff60_1000)
    let highest = try #require(
      VMA(text: "0-ffffffffffffffff rw-p ffffffffffffffff ff:fffff 18446744073709551615 "))
    #expect(highest.end == UInt64.max)
    #expect(highest.inode == UInt64.max)
  }

  @Test(arguments: [
    "", " ", "-", "1000", "1000-", "1000-2000", "1000-2000 ", "1000-2000 rw-p", "1000-2000 rw-p ",
    "1000-2000 rw-p 0", "1000-2000 rw-p 00000000 00:00", "1000-2000 rw-p 00000000 00:00 ",
    "1000-2000 rw- 00000000 00:00 0", "1000-2000 rw-pp 00000000 00:00 0", "1000 2000 rw-p 00000000 00:00 0",
    "1000-2000 rw-p 00000000 0000 0", " 1000-2000 rw-p 00000000 00:00 0", "g000-2000 rw-p 00000000 00:00 0",
    "2000-1000 rw-p 00000000 00:00 0", "1000-1000 rw-p 00000000 00:00 0",
    "10000000000000000-20000000000000000 rw-p 00000000 00:00 0",
    "1000-2000 rw-p 00000000 00:00 18446744073709551616", "1000-2000 rw-p 00000000 00:00 x",
    "1000-2000 rw-p 00000000 00:00 5x /tmp/a", "1000-2000 wrxp 00000000 00:00 0",
    "1000-2000 rw-q 00000000 00:00 0", "VmFlags: rd wr mr mw me ac",
  ])
  func refusesWhatIsNoLineOfMaps(line: String) {
    #expect(VMA(text: line) == nil)
  }

  @Test func readsEveryBeginningOfALineWithoutTrapping() {
    let line = "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]"
    for length in 0...line.utf8.count {
      _ = VMA(text: String(line.prefix(length)))
    }
  }

  @Test func isCutFromBelow() throws {
    let vma = try #require(VMA(text: "1000-5000 rw-p 00000000 fe:01 5 /tmp/a"))
    let rest = vma.cut(from: 0x3000)
    #expect(rest.start == 0x3000)
    #expect(rest.end == 0x5000)
    #expect(rest.name == "/tmp/a")
    #expect(rest.isWritable)
  }
}

extension VMA {
  /// Reads a line of maps that stands in a test.
  init?(text: String) {
    let bytes = Array(text.utf8)
    self.init(line: bytes.span)
  }
}
