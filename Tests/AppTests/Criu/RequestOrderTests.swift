import SluiceWire
import Testing

@testable import sluice

@Suite struct RequestOrderTests {
  private func request(
    _ type: Int, keepsOpen: Bool = false, pageServer: Bool = false, lazyPages: Bool = false
  ) throws -> EngineRequest {
    var options: [(number: Int, value: WireMessage.Value)] = pageServer ? [(11, .message(WireMessage()))] : []
    if lazyPages { options.append((48, .integer(1))) }
    return try #require(EngineRequest(packet: WireMessage.request(type, options, keepsOpen: keepsOpen)))
  }

  @Test func `what Sluice does it does, and the rest is handed on`() throws {
    let order = RequestOrder()
    for type in 0...20 {
      let expected: RequestOrder.Action =
        switch type {
        case 4, 13: .preDump
        case 5, 12: .startPageServer
        case 11: .waitForProcess
        case 9: .answerFeatures
        case 10: .answerVersion
        default: .handOn
        }
      let action = order.action(for: try request(type))
      #expect(action == expected, "type \(type)")
    }
    for type in [4, 13] {
      let action = order.action(for: try request(type, pageServer: true))
      #expect(action == .preDump)
    }
    for type in [4, 5, 12, 13] {
      let action = order.action(for: try request(type, lazyPages: true))
      #expect(action == .handOn)
    }
  }

  @Test func `after a pre-dump another one or a dump may follow`() throws {
    var order = RequestOrder()
    let hasMore = order.expectsMore(after: try request(4))
    #expect(hasMore)
    for type in 0...20 {
      let action = order.action(for: try request(type))
      switch type {
      case 1: #expect(action == .handOn)
      case 4: #expect(action == .preDump)
      default: if case .refuse = action {} else { Issue.record("type \(type): \(action)") }
      }
    }
    let action = order.action(for: try request(4, lazyPages: true))
    #expect(action == .handOn)
  }

  @Test(arguments: [9, 10, 13], [true, false])
  func `other requests are the last, unless more are announced`(type: Int, keepsOpen: Bool) throws {
    var order = RequestOrder()
    let hasMore = order.expectsMore(after: try request(type, keepsOpen: keepsOpen))
    #expect(hasMore == keepsOpen)
    let action = order.action(for: try request(10))
    #expect(action == .answerVersion)
  }
}
