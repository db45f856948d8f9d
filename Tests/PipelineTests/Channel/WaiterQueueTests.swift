import Testing

@testable import SluicePipeline

@Suite struct WaiterQueueTests {
  @Test func `serves first come first`() {
    var queue = WaiterQueue<String>()
    queue.append("a", id: 1)
    queue.append("b", id: 2)
    #expect(queue.removeFirst() == "a")
    queue.append("c", id: 3)
    #expect(queue.removeFirst() == "b")
    #expect(queue.removeFirst() == "c")
    #expect(queue.removeFirst() == nil)
    #expect(queue.isEmpty)
  }

  @Test(arguments: 1...3)
  func `lets one leave from anywhere and keeps the order of the others`(leaving: Int) {
    var queue = WaiterQueue<Int>()
    for id in 1...3 { queue.append(id * 10, id: UInt64(id)) }
    #expect(queue.remove(id: UInt64(leaving)) == leaving * 10)
    #expect(queue.remove(id: UInt64(leaving)) == nil)
    #expect(queue.removeAll() == [10, 20, 30].filter { $0 != leaving * 10 })
    #expect(queue.isEmpty)
  }
}
