internal import SluiceImages
internal import SluiceTarget

/// Finds the memory that shows the calls of threads: their stacks, and what belongs to each thread alone.
struct ThreadStacks: Sendable {
  let pageSize: UInt64

  /// A stack is taken up to its end, but no further than this: it may be a part of something large.
  static let mostBytes: UInt64 = 8 << 20
  /// What lies below the top of a stack, and functions that call no other use (the red zone).
  private static let belowTop: UInt64 = 128
  /// Variables of each thread lie below its own structure, on x86-64, and above it on 64-bit ARM.
  private static let aroundThread: UInt64 = 64 << 10

  /// The ranges, whole pages, in no order.
  ///
  /// - Parameter mappings: of the process, in address order.
  func ranges(of process: CoreProcess, in mappings: [CoreMapping]) -> [Range<UInt64>] {
    process.threads.flatMap { thread -> [Range<UInt64>] in
      var ranges: [Range<UInt64>] = []
      if let top = Self.stackPointer(of: thread), let mapping = Self.mapping(at: top, in: mappings) {
        let start = max(mapping.vma.start, top &- Self.belowTop)
        ranges.append(pages(start..<min(mapping.vma.end, top &+ Self.mostBytes)))
      }
      if let own = Self.threadPointer(of: thread), let mapping = Self.mapping(at: own, in: mappings) {
        let start = max(mapping.vma.start, own > Self.aroundThread ? own - Self.aroundThread : 0)
        ranges.append(pages(start..<min(mapping.vma.end, own &+ Self.aroundThread)))
      }
      return ranges
    }
  }

  private func pages(_ range: Range<UInt64>) -> Range<UInt64> {
    range.lowerBound / pageSize * pageSize..<(range.upperBound + pageSize - 1) / pageSize * pageSize
  }

  private static func mapping(at address: UInt64, in mappings: [CoreMapping]) -> CoreMapping? {
    let index = mappings.firstIndex(endingBehind: address) { $0.vma.end }
    return index < mappings.count && mappings[index].vma.start <= address ? mappings[index] : nil
  }

  /// rsp, of struct user_regs_struct; sp, of struct user_pt_regs.
  private static func stackPointer(of thread: CoreProcess.Thread) -> UInt64? {
    switch CoreMachine.current {
    case .x86: word(19, of: thread.registers)
    case .arm: word(31, of: thread.registers)
    }
  }

  /// fs_base; tpidr_el0, which is a set by itself (NT_ARM_TLS).
  private static func threadPointer(of thread: CoreProcess.Thread) -> UInt64? {
    switch CoreMachine.current {
    case .x86: word(21, of: thread.registers)
    case .arm: thread.sets.first { $0.type == 0x401 }.flatMap { word(0, of: $0.bytes) }
    }
  }

  private static func word(_ number: Int, of bytes: [UInt8]) -> UInt64? {
    bytes.word(at: 8 * number)
  }
}

extension [UInt8] {
  /// Eight bytes as a number, the low byte first; nil where there are no eight.
  func word(at offset: Int) -> UInt64? {
    guard offset >= 0, offset <= count - 8 else { return nil }
    return self[offset..<offset + 8].reversed().reduce(0) { $0 << 8 | UInt64($1) }
  }
}
