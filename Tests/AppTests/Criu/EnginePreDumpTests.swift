import SluiceTestSupport
import SluiceWire
import Testing

@testable import sluice

struct EnginePreDumpTests {
  @Test(arguments: [(nil, 30), (5, 5), (0, 1e6)] as [(Int?, Double)])
  func `the time that an engine allows for stopping bounds our stops`(asked: Int?, seconds: Double) throws {
    var fields: [(Int, WireMessage.Value)] = [(2, .integer(1)), (68, .text("/images"))]
    if let asked { fields.append((45, .integer(asked))) }
    let request = try #require(EngineRequest(packet: WireMessage.request(4, fields)))
    let command = try EnginePreDump(request.options, engine: 1).command().command
    #expect(command.stopOptions.stopTimeout == seconds)
    #expect(command.runOptions.timeout == nil)
  }
}
