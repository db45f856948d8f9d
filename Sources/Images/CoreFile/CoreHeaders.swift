/// A part of the memory, as a program header of a core has it (PT_LOAD).
public struct CoreSegment: Sendable, Hashable {
  /// Where it begins.
  public var address: UInt64
  /// How long it is, in bytes.
  public var memoryBytes: UInt64
  /// How much of that is in the file; what is behind it is not known.
  public var fileBytes: UInt64
  /// Where in the file.
  public var fileOffset: UInt64
  /// Whether the process may read, write and execute it: PF_R, PF_W and PF_X.
  public var permissions: UInt32

  /// A segment.
  public init(
    address: UInt64, memoryBytes: UInt64, fileBytes: UInt64, fileOffset: UInt64, permissions: UInt32
  ) {
    self.address = address
    self.memoryBytes = memoryBytes
    self.fileBytes = fileBytes
    self.fileOffset = fileOffset
    self.permissions = permissions
  }

  /// May be read.
  public static let readable: UInt32 = 4
  /// May be written.
  public static let writable: UInt32 = 2
  /// May be executed.
  public static let executable: UInt32 = 1
}

/// Makes the headers of a core file: elf(5).
///
/// The program headers stand wherever the file has room for them. Where there are more than a header can count, a section
/// header has their number (PN_XNUM).
public struct CoreHeaders: Sendable {
  /// The bytes of the header at the start of the file.
  public static let elfHeaderBytes = 64
  /// The bytes of each program header.
  public static let programHeaderBytes = 56
  private static let sectionHeaderBytes = 64
  /// From so many on, their number stands elsewhere (PN_XNUM).
  private static let mostCounted = 0xffff

  /// What stands at the start of the file.
  public private(set) var elfHeader: [UInt8] = []
  /// The program headers, and a section header where there is one.
  public private(set) var table: [UInt8] = []

  /// - Parameters:
  ///   - notes: where the notes are in the file.
  ///   - segments: in the order of their addresses.
  ///   - tableOffset: where `table` will be in the file.
  ///   - pageSize: in bytes.
  public init(
    notes: Range<UInt64>, segments: [CoreSegment], tableOffset: UInt64, pageSize: UInt64,
    machine: CoreMachine = .current
  ) {
    let count = segments.count + 1
    let isCountedElsewhere = count >= Self.mostCounted
    table.reserveCapacity(count * Self.programHeaderBytes + Self.sectionHeaderBytes)
    addHeader(type: 4, permissions: 0, offset: notes.lowerBound, address: 0, notes.count64, 0, alignment: 4)
    for segment in segments {
      addHeader(
        type: 1, permissions: segment.permissions, offset: segment.fileOffset, address: segment.address,
        segment.fileBytes, segment.memoryBytes, alignment: pageSize)
    }
    let sectionOffset = tableOffset + UInt64(table.count)
    if isCountedElsewhere { addSection(holding: count) }
    // The mark, 64 bits, the low byte first, version 1, no special system.
    elfHeader = [0x7f, UInt8(ascii: "E"), UInt8(ascii: "L"), UInt8(ascii: "F"), 2, 1, 1, 0]
    elfHeader.append(zeros: 8)
    // ET_CORE
    elfHeader.append(number: UInt16(4))
    elfHeader.append(number: machine.elfNumber)
    elfHeader.append(number: UInt32(1))
    elfHeader.append(number: UInt64(0))
    elfHeader.append(number: tableOffset)
    elfHeader.append(number: isCountedElsewhere ? sectionOffset : 0)
    elfHeader.append(number: UInt32(0))
    elfHeader.append(number: UInt16(Self.elfHeaderBytes))
    elfHeader.append(number: UInt16(Self.programHeaderBytes))
    elfHeader.append(number: UInt16(isCountedElsewhere ? Self.mostCounted : count))
    elfHeader.append(number: UInt16(isCountedElsewhere ? Self.sectionHeaderBytes : 0))
    elfHeader.append(number: UInt16(isCountedElsewhere ? 1 : 0))
    elfHeader.append(number: UInt16(0))
  }

  /// How long `table` will be, in bytes.
  public static func tableBytes(segments: Int) -> Int {
    let count = segments + 1
    return count * programHeaderBytes + (count >= mostCounted ? sectionHeaderBytes : 0)
  }

  private mutating func addHeader(
    type: UInt32, permissions: UInt32, offset: UInt64, address: UInt64, _ fileBytes: UInt64,
    _ memoryBytes: UInt64, alignment: UInt64
  ) {
    table.append(number: type)
    table.append(number: permissions)
    for number in [offset, address, 0, fileBytes, memoryBytes, alignment] { table.append(number: number) }
  }

  /// The first section header, which counts the sections and the program headers.
  private mutating func addSection(holding count: Int) {
    table.append(zeros: 32)
    table.append(number: UInt64(1))
    table.append(number: UInt32(0))
    table.append(number: UInt32(clamping: count))
    table.append(zeros: 16)
  }
}

extension Range<UInt64> {
  fileprivate var count64: UInt64 { upperBound - lowerBound }
}
