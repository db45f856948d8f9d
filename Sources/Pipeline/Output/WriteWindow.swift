import Glibc

/// The writes that are in flight, and what they hold until they have completed.
///
/// An item (a buffer) is written in one or more writes; it is let go of when the last has completed. A
/// write that was cut short or interrupted is to be started again with the rest.
struct WriteWindow<Item: ~Copyable>: ~Copyable {
  // Not private: the compiler (6.3.1) then refers to its metadata from other files, and cannot find it.
  struct Held: ~Copyable {
    var item: Item
    var pending = 0
    var isClosed = false
  }

  private struct Write {
    var item: Int
    /// What is left to write: where it begins in the item, and how much it is.
    var position: Int
    var count: Int
    var fileOffset: UInt64
    var failedAttempts = 0
  }

  /// What a write has still to do.
  struct Remainder: Hashable {
    /// In the item, in bytes.
    let position: Int
    let count: Int
    /// In the file, in bytes.
    let fileOffset: UInt64
  }

  /// A write that makes no progress so often is not going to.
  private static var mostAttempts: Int { 1000 }

  private let pageSize: Int
  private var held: FixedSlots<Held>
  private var writes: [Write?]
  private(set) var inFlight = 0

  /// - Parameters:
  ///   - depth: the most writes in flight.
  ///   - pageSize: in bytes; after a short write the rest begins at a page, as O_DIRECT wants it.
  init(depth: Int, pageSize: Int) {
    self.pageSize = pageSize
    // Each item that is held has a write in flight, but for the one whose writes are being started.
    held = FixedSlots(count: depth + 1)
    writes = Array(repeating: nil, count: depth)
  }

  var hasRoom: Bool { inFlight < writes.count }

  /// Takes an item that is to be written.
  mutating func open(_ item: consuming Item) -> Int {
    guard let index = held.firstEmpty else { preconditionFailure("more items are open than writes fit") }
    held.put(Held(item: item), at: index)
    return index
  }

  /// Starts to write a part of an item; there must be room.
  ///
  /// - Returns: the write's number.
  mutating func start(item: Int, position: Int, count: Int, fileOffset: UInt64) -> Int {
    guard let number = writes.firstIndex(where: { $0 == nil }) else {
      preconditionFailure("a write is started while there is room")
    }
    writes[number] = Write(item: item, position: position, count: count, fileOffset: fileOffset)
    inFlight += 1
    change(item) { $0.pending += 1 }
    return number
  }

  func remainder(of number: Int) -> Remainder {
    guard let write = writes[number] else { preconditionFailure("write \(number) is not in flight") }
    return Remainder(position: write.position, count: write.count, fileOffset: write.fileOffset)
  }

  /// Says that no more parts of an item will be started: it is let go of as soon as nothing of it is in
  /// flight any more.
  mutating func close(item: Int) {
    change(item) { $0.isClosed = true }
  }

  enum Verdict: Hashable {
    /// Start the write again, with its remainder.
    case again
    case done
    /// It failed for good.
    case failed(errno: Int32)
  }

  /// - Parameter result: bytes, or -errno.
  mutating func complete(_ number: Int, result: Int) -> Verdict {
    guard var write = writes[number] else { preconditionFailure("write \(number) is not in flight") }
    var failure: Int32?
    if result == write.count {
      finish(number)
      return .done
    }
    if result > write.count {
      failure = EIO
    } else if result >= 0 {
      let progress = result / pageSize * pageSize
      write.position += progress
      write.count -= progress
      write.fileOffset += UInt64(progress)
      write.failedAttempts = progress > 0 ? 0 : write.failedAttempts + 1
      // A disk that takes nothing and gives no reason.
      if write.failedAttempts == Self.mostAttempts { failure = EIO }
    } else {
      write.failedAttempts += 1
      let errno = Int32(-result)
      let isPassing = errno == EINTR || errno == EAGAIN
      if !isPassing || write.failedAttempts == Self.mostAttempts { failure = errno }
    }
    if let failure {
      finish(number)
      return .failed(errno: failure)
    }
    writes[number] = write
    return .again
  }

  /// The lowest place in the file that a write in flight has still to reach; nil when none is in flight.
  var lowestFileOffset: UInt64? {
    writes.lazy.compactMap { $0?.fileOffset }.min()
  }

  private mutating func finish(_ number: Int) {
    guard let write = writes[number].take() else { return }
    inFlight -= 1
    change(write.item) { $0.pending -= 1 }
  }

  /// Changes what is held of an item, and lets go of it when it has served.
  private mutating func change(_ index: Int, _ body: (inout Held) -> Void) {
    guard var item = held.take(at: index) else { preconditionFailure("item \(index) is not open") }
    body(&item)
    if item.isClosed && item.pending == 0 { return }
    held.put(item, at: index)
  }
}
