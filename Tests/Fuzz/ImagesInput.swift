internal import CSluiceImages
internal import CSluiceLinux

/// An input of the fuzzer, taken for a chain of images directories: the files of each in turn, each with two bytes of
/// length before it. What is missing at the end is empty, so that every input is a chain.
///
/// A pagemap may also come as entries of 17 bytes, for which the right form is made here: of inputs that are changed
/// byte by byte few would keep it, and what the entries say would hardly be tried. The pages files come as a number of
/// pages: nobody reads anything out of their contents.
struct ImagesInput {
  /// One of the directories. Of its files, nil is one that is not there.
  struct Level {
    var inventory: [UInt8]?
    var tracked: [UInt8]?
    var pagemap: [UInt8]?
    /// In pages.
    var pagesFileLength: Int
  }

  static let mostLevels = 3
  /// A length that says that there is no such file.
  static let noFile = 0xffff

  /// This bit of a pagemap's length says that it is a number of entries.
  static let isEntries = 0x8000
  /// More entries are not made: it would take long, and show nothing new.
  static let mostEntries = 64

  let levels: [Level]

  init(_ bytes: UnsafeBufferPointer<UInt8>) {
    var rest = unsafe Array(bytes)[...]
    var levels: [Level] = []
    while levels.isEmpty || !rest.isEmpty && levels.count < Self.mostLevels {
      levels.append(
        Level(
          inventory: Self.file(&rest), tracked: Self.file(&rest), pagemap: Self.pagemap(&rest),
          pagesFileLength: Self.number(&rest)))
    }
    self.levels = levels
  }

  private static func number(_ rest: inout ArraySlice<UInt8>) -> Int {
    Int(integer(&rest, byteCount: 2))
  }

  private static func integer(_ rest: inout ArraySlice<UInt8>, byteCount: Int) -> UInt64 {
    let bytes = rest.prefix(byteCount)
    rest = rest.dropFirst(byteCount)
    return bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) }
  }

  private static func file(_ rest: inout ArraySlice<UInt8>) -> [UInt8]? {
    contents(&rest, length: number(&rest))
  }

  private static func contents(_ rest: inout ArraySlice<UInt8>, length: Int) -> [UInt8]? {
    guard length != noFile else { return nil }
    defer { rest = rest.dropFirst(length) }
    return Array(rest.prefix(length))
  }

  private static func pagemap(_ rest: inout ArraySlice<UInt8>) -> [UInt8]? {
    let length = number(&rest)
    guard length != noFile, length & isEntries != 0 else { return contents(&rest, length: length) }
    var head = unsafe Sluice__PagemapHead.blank
    unsafe head.pages_id = 1
    var bytes = unsafe Records.file(
      magics: [ImageFormat.commonMagic, ImageFormat.pagemapMagic], message: head)
    for _ in 0..<min(length & ~isEntries, mostEntries) where !rest.isEmpty {
      var entry = unsafe Sluice__PagemapEntry.blank
      unsafe entry.vaddr = integer(&rest, byteCount: 8)
      unsafe entry.has_nr_pages = 1
      unsafe entry.nr_pages = integer(&rest, byteCount: 8)
      unsafe entry.has_flags = 1
      unsafe entry.flags = UInt32(integer(&rest, byteCount: 1))
      bytes += unsafe Records.file(magics: [], message: entry)
    }
    return bytes
  }
}

/// The directories that inputs are written to: 0 is the newest, and its parent is 1, beside it.
struct ImagesScratch {
  let path: String
  private let root: Int32

  /// - Parameter path: an empty directory, in memory if this is to be fast.
  init(path: String) {
    self.path = path
    root = unsafe sluice_open_at(sluice_current_directory(), path, SLUICE_OPEN_DIRECTORY)
    Self.must(root, "opening \(path)")
    for level in 0..<ImagesInput.mostLevels {
      Self.must(unsafe sluice_mkdir(root, "\(level)", 0o700), "making \(path)/\(level)")
    }
  }

  /// The newest directory.
  var newest: String { "\(path)/0" }

  /// Makes the directories what the input says.
  func write(_ input: ImagesInput) {
    for (index, level) in input.levels.enumerated() {
      replace("\(index)/\(ImageFormat.inventoryName)", by: level.inventory)
      replace("\(index)/\(ImageFormat.trackedName)", by: level.tracked)
      replace("\(index)/\(ImageFormat.pagemapName(pid: 1))", by: level.pagemap)
      replace("\(index)/\(ImageFormat.pagesName(id: 1))", by: [], pages: level.pagesFileLength)
      replace("\(index)/\(ImageFormat.deduplicatedName)", by: nil)
      let link = "\(index)/\(ImageFormat.parentName)"
      _ = unsafe sluice_unlink_at(root, link, false)
      guard index + 1 < input.levels.count else { continue }
      Self.must(unsafe sluice_symlink_at("../\(index + 1)", root, link), "linking \(path)/\(link)")
    }
  }

  /// Puts a file there, in the place of what has its name; nil only takes that away.
  func replace(_ name: String, by bytes: [UInt8]?, pages: Int = 0) {
    _ = unsafe sluice_unlink_at(root, name, false)
    guard let bytes else { return }
    let file = unsafe sluice_open_at(root, name, SLUICE_OPEN_CREATE)
    Self.must(file, "creating \(path)/\(name)")
    let written = unsafe bytes.withUnsafeBytes { unsafe sluice_write(file, $0.baseAddress, $0.count) }
    guard written == bytes.count else { fatalError("writing \(path)/\(name)") }
    if pages > 0 {
      let size = UInt64(pages) * UInt64(sluice_page_size())
      Self.must(sluice_set_file_size(file, size), "sizing \(path)/\(name)")
    }
    _ = sluice_close(file)
  }

  /// What the fuzzer itself does must not fail: then it would test nothing.
  private static func must(_ result: Int32, _ doing: String) {
    guard result >= 0 else { fatalError("\(doing): errno \(-result)") }
  }
}
