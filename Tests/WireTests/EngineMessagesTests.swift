import Testing

@testable import SluiceWire

/// The bytes are derived by hand from the numbers of CRIU's fields.
@Suite struct EngineMessagesTests {
  @Test func `a request is what its bytes say`() throws {
    let options: [UInt8] =
      [0x08, 7, 0x10, 0xe7, 0x24, 0x48, 4, 0x52, 1, 0x6c, 0x60, 1, 0x72, 4, 0x2e, 0x2e, 0x2f, 0x31]
      // 15 track_mem, 16 auto_dedup, 17 work_dir_fd, 44 freeze_cgroup, 51 config_file.
      + [0x78, 1, 0x80, 1, 1, 0x88, 1, 9, 0xe2, 2, 2, 0x2f, 0x63, 0x9a, 3, 2, 0x2f, 0x66]
    let packet = [0x08, 4, 0x12, UInt8(options.count)] + options + [0x20, 1]
    let request = try #require(EngineRequest(packet: packet))
    #expect(request.kind == .preDump)
    #expect(request.keepsOpen)
    #expect(request.features == nil)
    let found = try #require(request.options)
    #expect(found.imagesDescriptor == 7)
    #expect(found.imagesDirectory == nil)
    #expect(found.pid == 4711)
    #expect(found.logLevel == 4)
    #expect(found.logFile == "l")
    #expect(found.pageServer == nil)
    #expect(found.parent == "../1")
    #expect(found.dedups)
    #expect(found.workDescriptor == 9)
    #expect(found.freezeCgroup == "/c")
    #expect(found.configurationFile == "/f")
  }

  @Test func `what a request does not say has CRIU's defaults`() throws {
    // -1 is no descriptor; 68 is the directory instead; 11 a page server.
    let none: [UInt8] = [0x08] + Array(repeating: 0xff, count: 9) + [1]
    let options = none + [0xa2, 4, 2, 0x2f, 0x69, 0x5a, 0]
    let request = try #require(EngineRequest(packet: [0x08, 13, 0x12, UInt8(options.count)] + options))
    #expect(request.kind == .singlePreDump)
    #expect(!request.keepsOpen)
    let found = try #require(request.options)
    #expect(found.imagesDescriptor == nil)
    #expect(found.imagesDirectory == "/i")
    #expect(found.pid == nil)
    #expect(found.logLevel == 2)
    #expect(found.logFile == nil)
    #expect(found.pageServer == EnginePageServer())
    #expect(found.parent == nil)
    #expect(found.workDescriptor == nil)
  }

  /// The numbers and names in CRIU's own description of its protocol, of 3.17.1 (to 65) and 4.2.
  private static let options =
    """
    1 images_dir_fd 2 pid 3 leave_running 4 ext_unix_sk 5 tcp_established 6 evasive_devices 7 shell_job 8 file_locks
    9 log_level 10 log_file 11 ps 12 notify_scripts 13 root 14 parent_img 15 track_mem 16 auto_dedup 17 work_dir_fd
    18 link_remap 19 veths 20 cpu_cap 21 force_irmap 22 exec_cmd 23 ext_mnt 24 manage_cgroups 25 cg_root
    26 rst_sibling 27 inherit_fd 28 auto_ext_mnt 29 ext_sharing 30 ext_masters 31 skip_mnt 32 enable_fs
    33 unix_sk_ino 34 manage_cgroups_mode 35 ghost_limit 36 irmap_scan_paths 37 external 38 empty_ns 39 join_ns
    41 cgroup_props 42 cgroup_props_file 43 cgroup_dump_controller 44 freeze_cgroup 45 timeout
    46 tcp_skip_in_flight 47 weak_sysctls 48 lazy_pages 49 status_fd 50 orphan_pts_master 51 config_file
    52 tcp_close 53 lsm_profile 54 tls_cacert 55 tls_cacrl 56 tls_cert 57 tls_key 58 tls 59 tls_no_cn_verify
    60 cgroup_yard 61 pre_dump_mode 62 pidfd_store_sk 63 lsm_mount_context 64 network_lock 65 mntns_compat_mode
    66 skip_file_rwx_check 67 unprivileged 68 images_dir 69 leave_stopped 70 display_stats 71 log_to_stderr
    """
  /// Those that a pre-dump goes by.
  private static let done: Set<UInt32> = [
    1, 2, 9, 10, 11, 14, 16, 17, 44, 45, 51, 54, 55, 56, 57, 58, 59, 68, 71,
  ]
  /// Those that only CRIU can do.
  private static let handedOn: Set<UInt32> = [48, 69]

  @Test func `every option of an engine's is done, left out, or CRIU's`() throws {
    let words = Self.options.split(whereSeparator: \.isWhitespace)
    var numbers: Set<UInt32> = []
    for index in stride(from: 0, to: words.count, by: 2) {
      let (number, name) = (try #require(UInt32(words[index])), String(words[index + 1]))
      numbers.insert(number)
      let leftOut = EngineOption.leftOut.contains { $0.number == number && $0.name == name }
      let verdicts = [Self.done.contains(number), Self.handedOn.contains(number), leftOut]
      #expect(verdicts.filter { $0 }.count == 1, "\(name)")
    }
    #expect(EngineOption.leftOut.allSatisfy { numbers.contains($0.number) })
    #expect(Set(EngineOption.leftOut.map(\.number)).count == EngineOption.leftOut.count)
  }

  @Test func `options that are left out or CRIU's are known by name or number`() throws {
    // 7 shell_job, 37 external twice, 45 timeout; 48 lazy_pages, and 99.
    let options: [UInt8] =
      [0x38, 1, 0xaa, 2, 1, 0x61, 0xaa, 2, 1, 0x62, 0xe8, 2, 5, 0x80, 3, 1, 0x98, 6, 1]
    let request = try #require(EngineRequest(packet: [0x08, 4, 0x12, UInt8(options.count)] + options))
    #expect(request.options?.leftOut == ["shell_job", "external"])
    #expect(request.options?.timeout == 5)
    #expect(request.options?.forCriu == ["lazy_pages", "99"])
    #expect(request.options?.parent == nil)
    // 14, without a text; lazy_pages, leave_stopped and log_to_stderr that are false.
    let none: [UInt8] = [0x72, 0, 0x80, 3, 0, 0xa8, 4, 0, 0xb8, 4, 0]
    let other = try #require(EngineRequest(packet: [0x08, 4, 0x12, UInt8(none.count)] + none))
    #expect(other.options?.timeout == nil)
    #expect(other.options?.parent == "")
    #expect(other.options?.forCriu == [])
    #expect(other.options?.logsToStandardError == false)
  }

  @Test func `a question for features is what is asked about`() throws {
    let request = try #require(EngineRequest(packet: [0x08, 9, 0x2a, 4, 0x08, 1, 0x18, 0]))
    let features = try #require(request.features)
    #expect(features.tracksMemory == true)
    #expect(features.lazyPages == nil)
    #expect(features.storesPidfds == false)
  }

  @Test(arguments: [
    // No type; cut off; a length beyond the end; no such wire type; a string where a message belongs.
    [] as [UInt8], [0x20, 1], [0x08], [0x08, 0x80], [0x08, 4, 0x12, 5, 0x08], [0x0f, 1],
    [0x08, 4, 0x12, 1, 0xff],
  ])
  func `what is no request is none`(packet: [UInt8]) {
    #expect(EngineRequest(packet: packet) == nil)
  }

  @Test func `a request cut off anywhere is none, or one that says less`() {
    let whole: [UInt8] = [0x08, 4, 0x12, 5, 0x08, 7, 0x10, 0xe7, 0x24, 0x20, 1]
    #expect(EngineRequest(packet: whole)?.options?.pid == 4711)
    for count in 0..<whole.count {
      if let request = EngineRequest(packet: Array(whole[..<count])) { #expect(request.kind == .preDump) }
    }
  }

  @Test func `an answer is these bytes, there and back`() throws {
    var features = EngineFeatures()
    (features.tracksMemory, features.storesPidfds) = (true, false)
    let cases: [(EngineAnswer, [UInt8])] = [
      (EngineAnswer(.preDump), [0x08, 4, 0x10, 1]),
      (EngineAnswer(.featureCheck, features: features), [0x08, 9, 0x10, 1, 0x42, 4, 0x08, 1, 0x18, 0]),
      (
        EngineAnswer(.singlePreDump, failure: .init(errno: 3, message: "no")),
        [0x08, 13, 0x10, 0, 0x38, 3, 0x4a, 2, 0x6e, 0x6f]
      ),
    ]
    for (answer, bytes) in cases {
      #expect(answer.packet() == bytes)
      #expect(EngineAnswer(packet: bytes) == answer)
    }
  }
}
