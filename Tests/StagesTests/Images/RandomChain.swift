import Foundation
import SluiceImages
import SluiceTestSupport

/// A chain of images with random pages, and what a reader must find in it.
struct RandomChain {
  static let pid: Int32 = 42
  static let pageSize = 4096
  private static let firstPage: UInt64 = 0x10_000

  /// The newest directory.
  let newest: String
  /// Every directory, the oldest first.
  let directories: [String]
  /// The contents of each page of the newest directory, by its number: the word that fills it.
  let pages: [UInt64: UInt64]

  /// Makes it below `directory`.
  init(seed: UInt64, depth: Int, in directory: String) throws {
    var random = SplitMix(seed: seed)
    var pages: [UInt64: UInt64] = [:]
    var directories: [String] = []
    for level in 1...depth {
      let path = "\(directory)/\(level)"
      let parent = try directories.last.map { try ParentImages(path: $0) }
      var images = try UnfinishedImages.create(at: path, parent: parent)
      // The number in the pages file's name need not be the same in every directory.
      let pagesID = UInt32(level)
      let file = try images.createPagesFile(id: pagesID, direct: false)
      let pagemapFile = try images.createPagemap(pid: Self.pid)
      var pagemap = try PagemapImageWriter(
        file: pagemapFile, pagesID: pagesID, pageSize: UInt64(Self.pageSize))
      var now: [UInt64: UInt64] = [:]
      var offset: UInt64 = 0
      for number in Self.firstPage..<Self.firstPage + 96 {
        let old = pages[number]
        switch Int.random(in: 0..<10, using: &random) {
        case 0..<4:
          let word = Int.random(in: 0..<5, using: &random) == 0 ? 0 : UInt64(level) << 32 | number
          try pagemap.append(
            PagemapRun(address: number << 12, pageCount: 1, flags: .present))
          try file.write(page: word, at: offset)
          offset += UInt64(Self.pageSize)
          now[number] = word
        case 4..<9 where old != nil:
          try pagemap.append(PagemapRun(address: number << 12, pageCount: 1, flags: .parent))
          now[number] = old
        default: break
        }
      }
      try pagemap.finish()
      try images.publish(
        inventory: Inventory(dumpUptime: UInt64(level), preDumpMode: .read), statistics: DumpStatistics(),
        syncs: false)
      pages = now
      directories.append(path)
    }
    self.pages = pages
    self.directories = directories
    newest = directories[depth - 1]
  }

  /// What a directory without a parent has, by the number of the page; nil for a page that is not all one word.
  static func contents(of path: String) throws -> [UInt64: UInt64?] {
    let directory = try ImagesDirectory(path: path)
    guard var pagemap = try PagemapImageReader(pid: pid, in: directory) else { return [:] }
    let bytes = try Data(contentsOf: URL(filePath: "\(path)/pages-\(pagemap.pagesID).img"))
    var contents: [UInt64: UInt64?] = [:]
    var offset = 0
    while let run = try pagemap.next() {
      guard run.flags == .present else { throw TestFailure("an entry with flags \(run.flags)") }
      for number in run.address >> 12..<run.address >> 12 + run.pageCount {
        let page = bytes[offset..<offset + pageSize]
        let words = unsafe page.withUnsafeBytes { unsafe Array($0.bindMemory(to: UInt64.self)) }
        contents[number] = .some(Set(words).count == 1 ? words[0] : nil)
        offset += pageSize
      }
    }
    guard offset == bytes.count else {
      throw TestFailure("the pages file has \(bytes.count - offset) more bytes")
    }
    return contents
  }
}

extension OutputFile {
  fileprivate func write(page word: UInt64, at offset: UInt64) throws {
    let words = [UInt64](repeating: word, count: RandomChain.pageSize / 8)
    unsafe try words.withUnsafeBytes { try unsafe write($0, at: offset) }
  }
}
