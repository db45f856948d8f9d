/// The numbers that CRIU's image files begin with, and the names they have; all little-endian.
enum ImageFormat {
  /// Common to all images since version 1.1, before the magic of the kind.
  static let commonMagic: UInt32 = 0x5456_4319
  /// In the place of `commonMagic` in files that are not part of a checkpoint.
  static let serviceMagic: UInt32 = 0x5510_5940

  /// inventory.img has this alone: it must be readable before the version is known.
  static let inventoryMagic: UInt32 = 0x5831_3116
  static let pagemapMagic: UInt32 = 0x5608_4025
  static let statsMagic: UInt32 = 0x5709_3306
  // Those of a final dump.
  static let processesMagic: UInt32 = 0x5027_3030
  static let coreMagic: UInt32 = 0x5505_3847
  static let memoryMagic: UInt32 = 0x5749_2820
  static let filesMagic: UInt32 = 0x5630_3138
  static let regularFilesMagic: UInt32 = 0x5036_3636
  static let memoryFilesMagic: UInt32 = 0x4845_3499
  /// Sluice's own; no kind of CRIU's has it.
  static let trackedMagic: UInt32 = 0x536c_7401
  /// Sluice's own too.
  static let hashesMagic: UInt32 = 0x536c_7404
  /// That of hashes without a seed, which earlier versions wrote.
  static let seedlessHashesMagic: UInt32 = 0x536c_7402

  /// Sluice's own too.
  static let deduplicatedMagic: UInt32 = 0x536c_7403

  /// Sluice's own too.
  static let sessionMagic: UInt32 = 0x536c_7405
  /// Sluice's own too.
  static let sentMagic: UInt32 = 0x536c_7406

  static let inventoryName = "inventory.img"
  /// Says that the pages are where a page server has them.
  static let sentName = "sent.img"
  /// Says that a page server has received everything that its client sent.
  static let sessionName = "session.img"
  static let statsName = "stats-dump"
  static let trackedName = "tracked.img"
  static let deduplicatedName = "deduplicated.img"
  static let parentName = "parent"

  static let processesName = "pstree.img"
  static let filesName = "files.img"
  /// In the place of files.img in older dumps.
  static let regularFilesName = "reg-files.img"
  static let memoryFilesName = "memfd.img"

  static let pagemapPrefix = "pagemap-"
  static let hashesPrefix = "hashes-"

  static func pagemapName(pid: Int32) -> String { "\(pagemapPrefix)\(pid).img" }
  /// The hashes of a process' pages, beside its pagemap: "hashes-17.img" of process 17.
  static func hashesName(pagemap: String) -> String {
    hashesPrefix + pagemap.dropFirst(pagemapPrefix.count)
  }
  /// The pages of shared memory: CRIU's "pagemap-shmem-17.img".
  static func sharedPagemapName(id: UInt64) -> String { "\(pagemapPrefix)shmem-\(id).img" }
  static func coreName(thread: Int32) -> String { "core-\(thread).img" }
  static func memoryName(pid: Int32) -> String { "mm-\(pid).img" }
  static func pagesName(id: UInt32) -> String { "pages-\(id).img" }

  /// The versions that inventory.img may say: 0 in a pre-dump, 1 and 2 in full dumps of all CRIUs up to 4.2. Version 3
  /// is that of compressed images.
  static let knownVersions: ClosedRange<UInt32> = 0...2
  /// Fields of inventory.img, up to CRIU 4.2, that say nothing about memory.
  static let otherInventoryFields: [ClosedRange<UInt32>] = [2...6, 10...14]

  /// The longest record that is read: those of the files that Sluice reads have a few dozen bytes.
  static let longestRecord = 64 << 10
}

/// The flags of a pagemap entry.
public struct PagemapFlags: OptionSet, Hashable, Sendable {
  /// As it stands in the image.
  public let rawValue: UInt32
  /// The flags that an image has.
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// The pages are in the parent's images; the pages file has no bytes of them.
  public static let parent = PagemapFlags(rawValue: 1)
  /// The pages may be restored on demand.
  public static let lazy = PagemapFlags(rawValue: 2)
  /// The pages' bytes are in the pages file.
  public static let present = PagemapFlags(rawValue: 4)

  /// All flags that there are up to CRIU 4.2. Others say where the bytes of pages are, or what was made of them.
  static let known: PagemapFlags = [.parent, .lazy, .present]
}

/// A run of pages in a pagemap image.
public struct PagemapRun: Hashable, Sendable {
  /// The address of the first page.
  public var address: UInt64
  /// How many pages.
  public var pageCount: UInt64
  /// Where their contents are.
  public var flags: PagemapFlags

  /// A run from `address` on.
  public init(address: UInt64, pageCount: UInt64, flags: PagemapFlags) {
    self.address = address
    self.pageCount = pageCount
    self.flags = flags
  }
}
