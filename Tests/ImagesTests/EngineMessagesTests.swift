import Testing

@testable import SluiceImages

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
    #expect(!found.hasPageServer)
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
    #expect(found.hasPageServer)
    #expect(found.parent == nil)
    #expect(found.workDescriptor == nil)
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
