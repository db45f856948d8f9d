internal import SluiceImages

/// The files that one task's memory is written to.
struct ImageOutput: ~Copyable {
  var images: UnfinishedImages
  let pages: OutputFile
  var pagemap: PagemapImageWriter

  /// Creates the files.
  ///
  /// - Throws: `ImagesError` when they cannot be created.
  static func create(
    in directory: String, namespacePid: Int32, pageSize: UInt64, direct: Bool
  ) throws(ImagesError) -> ImageOutput {
    // The first pages file of a directory has number 1, as CRIU counts them.
    let pagesID: UInt32 = 1
    var images = try UnfinishedImages.create(at: directory)
    let pages = try images.createPagesFile(id: pagesID, direct: direct)
    let file = try images.createPagemap(pid: namespacePid)
    let pagemap = try PagemapImageWriter(file: file, pagesID: pagesID, pageSize: pageSize)
    return ImageOutput(images: images, pages: pages, pagemap: pagemap)
  }

  /// Whether the pages file is written past the page cache.
  var isDirect: Bool { pages.isDirect }

  /// Whether the pages file is written through a page cache that it need not stay in. A file in memory is its
  /// page cache: there is nothing to drop.
  var goesThroughPageCache: Bool { !pages.isDirect && !pages.isInMemory }

  /// Whether it pays to allocate the pages file's space before it is written. In memory it would only be written
  /// twice; the page cache allocates by itself, late and well.
  var wantsSpaceAhead: Bool { pages.isDirect && !pages.isInMemory }

  consuming func publish(
    inventory: Inventory, statistics: DumpStatistics, syncs: Bool
  ) throws(ImagesError) {
    try images.publish(inventory: inventory, statistics: statistics, syncs: syncs)
  }
}
