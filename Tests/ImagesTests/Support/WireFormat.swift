/// CRIU's framing and protobuf's wire format, written down a second time, so that the tests do not ask
/// the code under test what is right.
enum WireFormat {
  /// Little-endian, as all integers of the framing are.
  static func number(_ value: UInt32) -> [UInt8] {
    (0..<4).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
  }

  static func varint(_ value: UInt64) -> [UInt8] {
    var (rest, bytes) = (value, [UInt8]())
    while rest >= 0x80 {
      bytes.append(UInt8(rest & 0x7f) | 0x80)
      rest >>= 7
    }
    return bytes + [UInt8(rest)]
  }

  /// A message of integers, such as `[(1, 5)]`.
  static func message(_ fields: [(number: UInt8, value: UInt64)]) -> [UInt8] {
    fields.flatMap { [$0.number << 3] + varint($0.value) }
  }

  static func record(_ message: [UInt8]) -> [UInt8] {
    number(UInt32(message.count)) + message
  }

  static let pagemapMagics: [UInt8] = [0x19, 0x43, 0x56, 0x54, 0x25, 0x40, 0x08, 0x56]
  static let inventoryMagic: [UInt8] = [0x16, 0x31, 0x31, 0x58]

  /// A pagemap with these entries, each a list of its fields.
  static func pagemap(
    pagesID: UInt64 = 1, entries: [[(number: UInt8, value: UInt64)]]
  ) -> [UInt8] {
    pagemapMagics + record(message([(1, pagesID)])) + entries.flatMap { record(message($0)) }
  }

  struct Broken: Error {}

  /// Takes a file apart, after its magics, into messages of integers by field number.
  static func messages(_ bytes: ArraySlice<UInt8>) throws -> [[UInt8: UInt64]] {
    var (rest, messages) = (bytes, [[UInt8: UInt64]]())
    while !rest.isEmpty {
      guard rest.count >= 4 else { throw Broken() }
      let size = rest.prefix(4).reversed().reduce(0) { $0 << 8 | Int($1) }
      rest = rest.dropFirst(4)
      guard rest.count >= size else { throw Broken() }
      messages.append(try fields(rest.prefix(size)))
      rest = rest.dropFirst(size)
    }
    return messages
  }

  private static func fields(_ bytes: ArraySlice<UInt8>) throws -> [UInt8: UInt64] {
    var (rest, fields) = (bytes, [UInt8: UInt64]())
    while let tag = rest.popFirst() {
      guard tag & 7 == 0, fields[tag >> 3] == nil else { throw Broken() }
      var (value, shift) = (UInt64(0), UInt64(0))
      while true {
        guard let byte = rest.popFirst(), shift < 64 else { throw Broken() }
        value |= UInt64(byte & 0x7f) << shift
        shift += 7
        if byte < 0x80 { break }
      }
      fields[tag >> 3] = value
    }
    return fields
  }
}
