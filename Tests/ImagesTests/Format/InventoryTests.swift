import Testing

@testable import SluiceImages

@Suite struct InventoryTests {
  /// Derived by hand from CRIU's inventory.proto: 1 img_version, 8 dump_uptime, 9 pre_dump_mode.
  @Test(arguments: [
    (
      Inventory(dumpUptime: 300, preDumpMode: .read),
      [0x16, 0x31, 0x31, 0x58, 7, 0, 0, 0, 0x08, 0, 0x40, 0xac, 0x02, 0x48, 2] as [UInt8]
    ),
    (
      Inventory(dumpUptime: .max, preDumpMode: .splice),
      [0x16, 0x31, 0x31, 0x58, 15, 0, 0, 0, 0x08, 0, 0x40]
        + [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 0x48, 1]
    ),
    (
      Inventory(dumpUptime: nil, preDumpMode: nil, imageVersion: 2),
      [0x16, 0x31, 0x31, 0x58, 2, 0, 0, 0, 0x08, 2]
    ),
    (
      Inventory(dumpUptime: 0, preDumpMode: nil),
      [0x16, 0x31, 0x31, 0x58, 4, 0, 0, 0, 0x08, 0, 0x40, 0]
    ),
  ])
  func `is these bytes, there and back`(inventory: Inventory, bytes: [UInt8]) throws {
    #expect(inventory.encoded() == bytes)
    #expect(try Self.read(bytes) == inventory)
  }

  @Test func `a full dump's further fields are passed over`() throws {
    // 2 fdinfo_per_id, 4 ns_per_id, 5 root_cg_set, 10 tcp_close, 13 dump_criu_run_id ("ab").
    let message: [UInt8] = [0x08, 2, 0x10, 1, 0x20, 1, 0x28, 1, 0x40, 5, 0x50, 0, 0x6a, 2, 0x61, 0x62]
    #expect(
      try Self.read(WireFormat.inventoryMagic + WireFormat.record(message))
        == Inventory(dumpUptime: 5, preDumpMode: nil, imageVersion: 2))
  }

  /// The fields of all CRIUs up to 4.2, of whatever type.
  @Test(arguments: [2, 3, 4, 5, 6, 10, 11, 12, 13, 14] as [UInt8])
  func `fields that say nothing about memory are passed over`(field: UInt8) throws {
    let message = WireFormat.message([(1, 0), (8, 300), (9, 2), (field, 1)])
    #expect(
      try Self.read(WireFormat.inventoryMagic + WireFormat.record(message))
        == Inventory(dumpUptime: 300, preDumpMode: .read))
    let text = WireFormat.message([(1, 0), (8, 300), (9, 2)]) + [field << 3 | 2, 1, 0x61]
    #expect(
      try Self.read(WireFormat.inventoryMagic + WireFormat.record(text))
        == Inventory(dumpUptime: 300, preDumpMode: .read))
  }

  /// Version 3 is that of compressed images.
  @Test(
    arguments: [[(1, 3)], [(1, 4), (8, 5)], [(1, 0xffff_ffff)], [(1, 0), (7, 1)], [(1, 2), (15, 1)]]
      as [[(UInt8, UInt64)]])
  func `what may change what the images mean is refused`(fields: [(UInt8, UInt64)]) throws {
    let message = WireFormat.message(fields.map { (number: $0, value: $1) })
    for bytes in [message, WireFormat.message([(1, 0)]) + [0x82, 0x01, 1, 0x61]] {
      let error = try #require(throws: ImagesError.self) {
        try Self.read(WireFormat.inventoryMagic + WireFormat.record(bytes))
      }
      #expect(error.code == .malformed)
      #expect(error.message.contains("inventory.img was made by a newer CRIU"), "\(error)")
    }
  }

  @Test(arguments: [0, 1, 2] as [UInt32])
  func `all versions up to CRIU 4_2 are known`(version: UInt32) throws {
    let inventory = Inventory(dumpUptime: 5, preDumpMode: nil, imageVersion: version)
    #expect(try Self.read(inventory.encoded()) == inventory)
  }

  /// Fields that are not known by name stay.
  @Test func `a copy says what the original says, but for the moment where that is to go`() throws {
    let other: [UInt8] = [0x18 | 2, 2, 0x61, 0x62, 0x6a, 1, 0x63]
    let message = WireFormat.message([(1, 2), (8, 5), (9, 2)]) + other
    let directory = try TemporaryDirectory()
    for (withoutUptime, fields) in [(false, [(1, 2), (8, 5), (9, 2)]), (true, [(1, 2), (9, 2)])]
      as [(Bool, [(UInt8, UInt64)])]
    {
      try directory.write(WireFormat.inventoryMagic + WireFormat.record(message), to: "inventory.img")
      guard var reader = try RecordReader(opening: "inventory.img", in: ImagesDirectory(path: directory.path))
      else { continue }
      let copy = try Inventory.copy(reading: &reader, withoutUptime: withoutUptime)
      let kept = WireFormat.message(fields.map { (number: $0, value: $1) }) + other
      #expect(copy == WireFormat.inventoryMagic + WireFormat.record(kept))
    }
  }

  @Test func `a way of reading that is not known is none`() throws {
    let message = WireFormat.message([(1, 0), (8, 1), (9, 7)])
    #expect(
      try Self.read(WireFormat.inventoryMagic + WireFormat.record(message))
        == Inventory(dumpUptime: 1, preDumpMode: nil))
  }

  @Test func `a directory without one has none`() throws {
    let directory = try TemporaryDirectory()
    #expect(try ImagesDirectory(path: directory.path).inventory() == nil)
  }

  @Test(
    arguments: [
      [],
      WireFormat.inventoryMagic,
      // The magics of another image.
      WireFormat.pagemapMagics + [2, 0, 0, 0, 8, 0],
      [0x19, 0x43, 0x56, 0x54] + WireFormat.inventoryMagic + [2, 0, 0, 0, 8, 0],
      // No img_version, which is required.
      WireFormat.inventoryMagic + [0, 0, 0, 0],
      WireFormat.inventoryMagic + [2, 0, 0, 0, 0x40, 1],
      // A record that says it is longer than the file, or than any record.
      WireFormat.inventoryMagic + [3, 0, 0, 0, 8, 0],
      WireFormat.inventoryMagic + [0xff, 0xff, 0xff, 0xff, 8, 0],
      WireFormat.inventoryMagic + [1, 0, 1, 0] + [UInt8](repeating: 8, count: 0x10001),
    ] as [[UInt8]])
  func `what is no inventory is an error`(bytes: [UInt8]) throws {
    let error = try #require(throws: ImagesError.self) { try Self.read(bytes) }
    #expect(error.code == .malformed)
    #expect(error.message.contains("inventory.img"))
  }

  @Test func `every truncation is an error`() throws {
    let bytes = Inventory(dumpUptime: 300, preDumpMode: .read).encoded()
    for count in bytes.indices {
      let error = try #require(throws: ImagesError.self) { try Self.read(Array(bytes[..<count])) }
      #expect(error.code == .malformed)
    }
  }

  @Test func `every flipped bit gives an inventory or an error`() throws {
    let bytes = Inventory(dumpUptime: 300, preDumpMode: .read).encoded()
    var errors = 0
    for index in bytes.indices {
      for bit in 0..<8 {
        var broken = bytes
        broken[index] ^= 1 << bit
        do {
          #expect(try Self.read(broken) != nil)
        } catch let error as ImagesError {
          errors += 1
          #expect(error.code == .malformed)
        }
      }
    }
    // All in the magic, at the least.
    #expect(errors >= 32)
  }

  private static func read(_ bytes: [UInt8]) throws -> Inventory? {
    let directory = try TemporaryDirectory()
    try directory.write(bytes, to: "inventory.img")
    return try ImagesDirectory(path: directory.path).inventory()
  }
}
