internal import CSluiceImages

/// The contents of inventory.img: that the directory is complete, and when its memory was tracked from.
public struct Inventory: Hashable, Sendable {
  /// How CRIU names the ways of reading a process' memory.
  public enum PreDumpMode: UInt32, Sendable {
    /// From inside, through pipes.
    case splice = 1
    /// From outside, with process_vm_readv.
    case read = 2
  }

  /// Microseconds since boot when the dirty tracker was cleared. CRIU takes a process that started later for
  /// another one, and a parent without this for none at all.
  public var dumpUptime: UInt64?
  /// How the processes' memory was read.
  public var preDumpMode: PreDumpMode?
  /// 0 in a pre-dump, 1 or 2 in a full dump.
  public var imageVersion: UInt32

  /// An inventory that says so.
  public init(dumpUptime: UInt64?, preDumpMode: PreDumpMode?, imageVersion: UInt32 = 0) {
    self.dumpUptime = dumpUptime
    self.preDumpMode = preDumpMode
    self.imageVersion = imageVersion
  }

  /// An inventory with which nobody builds on the images by the soft-dirty bits, since these do not tell all that was
  /// written from then on. To CRIU it is of a time before any process: "Pid reuse detected", and it takes every page anew.
  ///
  /// - Parameter uptime: when that was. It tells such inventories apart, which the hashes of pages are compared with.
  public static func distrusting(uptime: UInt64, preDumpMode: PreDumpMode?) -> Inventory {
    Inventory(dumpUptime: distrustingTime(of: uptime), preDumpMode: preDumpMode)
  }

  /// CRIU compares in clock ticks, of which no machine has more than 100 a second: what is less than one is none.
  private static let tickMicroseconds: UInt64 = 10_000

  private static func distrustingTime(of uptime: UInt64) -> UInt64 { 1 + uptime % (tickMicroseconds - 1) }

  /// Whether the soft-dirty bits do not show all writes since then.
  public var distrustsSoftDirty: Bool { dumpUptime.map { $0 > 0 && $0 < Self.tickMicroseconds } ?? false }

  /// Whether it is the one of images that were made then, in microseconds since boot.
  public func isOf(uptime: UInt64) -> Bool {
    dumpUptime == (distrustsSoftDirty ? Self.distrustingTime(of: uptime) : uptime)
  }

  /// The bytes of inventory.img.
  func encoded() -> [UInt8] {
    var entry = unsafe Sluice__InventoryEntry.blank
    unsafe entry.img_version = imageVersion
    if let dumpUptime {
      unsafe entry.has_dump_uptime = 1
      unsafe entry.dump_uptime = dumpUptime
    }
    if let preDumpMode {
      unsafe entry.has_pre_dump_mode = 1
      unsafe entry.pre_dump_mode = preDumpMode.rawValue
    }
    return unsafe Records.file(magics: [ImageFormat.inventoryMagic], message: entry)
  }

  /// Reads inventory.img.
  init(reading reader: inout RecordReader) throws(ImagesError) {
    try reader.expect(magics: [ImageFormat.inventoryMagic])
    let inventory = try unsafe reader.next(
      like: Sluice__InventoryEntry.blank, besides: ImageFormat.otherInventoryFields
    ) { unsafe Inventory($0) }
    guard let inventory else { throw reader.malformed("it has no record") }
    guard ImageFormat.knownVersions.contains(inventory.imageVersion) else {
      throw reader.newer("its images are of the unknown version \(inventory.imageVersion)")
    }
    self = inventory
  }

  /// The bytes of an inventory.img with everything that another one says, known here or not.
  ///
  /// - Parameter withoutUptime: leaves out when the images were made.
  static func copy(reading reader: inout RecordReader, withoutUptime: Bool) throws(ImagesError) -> [UInt8] {
    try reader.expect(magics: [ImageFormat.inventoryMagic])
    let bytes = try unsafe reader.next(
      like: Sluice__InventoryEntry.blank, besides: ImageFormat.otherInventoryFields
    ) { entry in
      var entry = unsafe entry
      if withoutUptime { unsafe entry.has_dump_uptime = 0 }
      return unsafe Records.file(magics: [ImageFormat.inventoryMagic], message: entry)
    }
    guard let bytes else { throw reader.malformed("it has no record") }
    return bytes
  }

  private init(_ entry: Sluice__InventoryEntry) {
    unsafe dumpUptime = entry.has_dump_uptime != 0 ? entry.dump_uptime : nil
    unsafe preDumpMode = entry.has_pre_dump_mode != 0 ? PreDumpMode(rawValue: entry.pre_dump_mode) : nil
    unsafe imageVersion = entry.img_version
  }
}
