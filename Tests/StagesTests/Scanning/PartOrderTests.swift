import Testing

@testable import Sluice

@Suite struct PartOrderTests {
  @Test func `parts are given on as they were handed out, whoever is done first`() {
    var order = PartOrder(capacity: 3)
    #expect(order.next == .none)
    let places = (0..<3).map { _ in order.handOut() }
    #expect(Set(places).count == 3 && order.room == 0)
    order.scanned(places[2])
    order.scanned(places[1])
    #expect(order.next == .beingScanned)
    order.scanned(places[0])
    for place in places {
      #expect(order.next == .scanned(place))
      order.giveOn()
    }
    #expect(order.next == .none && order.room == 3)
  }

  @Test func `a place that is free again is of a part that is not scanned yet`() {
    var order = PartOrder(capacity: 1)
    for _ in 0..<3 {
      let place = order.handOut()
      #expect(order.next == .beingScanned && order.room == 0)
      order.scanned(place)
      #expect(order.next == .scanned(place))
      order.giveOn()
      #expect(order.room == 1)
    }
  }

  @Test func `of what was handed out before nothing is left when it starts anew`() {
    var order = PartOrder(capacity: 2)
    order.scanned(order.handOut())
    _ = order.handOut()
    order.startAnew()
    #expect(order.next == .none && order.room == 2)
    _ = order.handOut()
    #expect(order.next == .beingScanned)
  }
}
