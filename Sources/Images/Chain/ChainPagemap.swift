internal import CSluiceLinux
internal import SluiceSystem

/// The pages of one process through a chain of images, from low addresses to high ones, in memory of a fixed size for
/// each directory of the chain.
public final class ChainPagemap {
  /// Where pages are: in the pages file of one of the directories.
  public struct Place: Hashable, Sendable {
    /// The directory: 0 is the chain's own, 1 its parent, and so on.
    public let level: Int
    /// Where in the file, in bytes.
    public let offset: UInt64
    /// The address after the last page that this is true of.
    public let end: UInt64

    /// A place.
    public init(level: Int, offset: UInt64, end: UInt64) {
      self.level = level
      self.offset = offset
      self.end = end
    }
  }

  /// The pagemap of one of the directories, opened when pages of it are asked for.
  private struct Level {
    let directory: ImageChain.Level
    /// Nil before it is opened, and where the directory has none.
    var pagemap: LevelPagemap?
    var isOpened = false
    /// Whether pages of it are among those that were asked for.
    var isNeeded = false
  }

  private var levels: [Level]
  private let name: String

  private let own: LevelPagemap

  /// The number in the name of the chain's own pages file.
  public let pagesID: UInt32

  /// - Parameter name: as the chain names it.
  /// - Throws: `ImagesError` when it cannot be read.
  public init(name: String, in chain: ImageChain) throws(ImagesError) {
    self.name = name
    guard let own = try LevelPagemap(name: name, in: chain.levels[0]) else {
      throw ImagesError(.malformed, "\(chain.path)/\(name) has disappeared")
    }
    self.own = own
    pagesID = own.pagesID
    levels = chain.levels.map { Level(directory: $0) }
    (levels[0].pagemap, levels[0].isOpened, levels[0].isNeeded) = (own, true, true)
  }

  /// - Returns: nil where the directory has no such pagemap, or there is no such directory.
  private func pagemap(of level: Int) throws(ImagesError) -> LevelPagemap? {
    guard level < levels.count else { return nil }
    if !levels[level].isOpened {
      levels[level].pagemap = try LevelPagemap(name: name, in: levels[level].directory)
      levels[level].isOpened = true
    }
    return levels[level].pagemap
  }

  /// The next run of pages of the chain's own directory; nil after the last.
  ///
  /// - Throws: `ImagesError` when the image is broken.
  public func next() throws(ImagesError) -> PagemapRun? {
    while let entry = try own.advance() {
      // Entries of pages that were left to be restored lazily have no contents anywhere.
      if !entry.run.flags.isDisjoint(with: [.present, .parent]) { return entry.run }
    }
    return nil
  }

  /// Where the first pages of a range are. The ranges that are asked for go upwards.
  ///
  /// - Throws: `ImagesError` with `malformed` when the chain does not have them.
  public func place(of range: Range<UInt64>) throws(ImagesError) -> Place {
    var end = range.upperBound
    for level in levels.indices {
      guard let entry = try pagemap(of: level)?.entry(at: range.lowerBound) else { break }
      end = min(end, entry.range.upperBound)
      if entry.run.flags.contains(.present) {
        levels[level].isNeeded = true
        return Place(
          level: level, offset: entry.offset + (range.lowerBound - entry.range.lowerBound), end: end)
      }
    }
    throw missing(range.lowerBound)
  }

  /// Makes sure that the chain has every page that it promises. Ends the pagemap: nothing is asked of it after.
  ///
  /// What a parent has that no page is left to is not looked at.
  ///
  /// - Returns: how many pages that are.
  /// - Throws: `ImagesError` with `malformed` for pages that no directory has, or a pages file of another size.
  @discardableResult
  public func check() throws(ImagesError) -> UInt64 {
    let pageSize = UInt64(sluice_page_size())
    var pages: UInt64 = 0
    while let run = try next() {
      pages &+= run.pageCount
      var position = run.address
      let end = run.address + run.pageCount * pageSize
      while position < end { position = try place(of: position..<end).end }
    }
    for level in levels where level.isNeeded { try level.pagemap?.checkSize() }
    return pages
  }

  /// Makes sure that the pagemaps of all directories are in form, those too that nothing is asked of. Ends the pagemap, as
  /// `check` does.
  ///
  /// - Throws: `ImagesError` with `malformed`, or `newer` for what is not understood.
  func checkForms() throws(ImagesError) {
    for level in levels.indices { try pagemap(of: level)?.checkForm() }
  }

  /// The pages of a range that a directory and those below it have, of which the first is given; nil when there are
  /// none. The ranges that are asked for go upwards.
  ///
  /// - Parameter level: the directory to begin with.
  /// - Throws: `ImagesError` with `malformed` when the chain is broken.
  func first(of range: Range<UInt64>, from level: Int) throws(ImagesError) -> (start: UInt64, place: Place)? {
    guard let pagemap = try pagemap(of: level) else { return nil }
    var position = range.lowerBound
    while position < range.upperBound, let entry = try pagemap.entry(atOrAbove: position),
      entry.range.lowerBound < range.upperBound
    {
      let start = max(entry.range.lowerBound, position)
      let end = min(entry.range.upperBound, range.upperBound)
      if entry.run.flags.contains(.present) {
        let offset = entry.offset + (start - entry.range.lowerBound)
        return (start, Place(level: level, offset: offset, end: end))
      }
      if entry.run.flags.contains(.parent), let deeper = try first(of: start..<end, from: level + 1) {
        return deeper
      }
      position = end
    }
    return nil
  }

  /// Reads bytes of a directory's pages file.
  ///
  /// - Throws: `ImagesError` when they are not there or cannot be read.
  public func read(_ place: Place, into bytes: UnsafeMutableRawBufferPointer) throws(ImagesError) {
    unsafe try pagemap(of: place.level)?.read(at: place.offset, into: bytes)
  }

  /// Reads bytes of a directory's pages file to a part of memory.
  ///
  /// - Throws: `ImagesError` when they are not there or cannot be read.
  public func read(
    _ place: Place, into bytes: inout MutableRawSpan, at part: Range<Int>
  ) throws(ImagesError) {
    unsafe try bytes.withUnsafeMutableBytes { (room) throws(ImagesError) in
      unsafe try read(place, into: UnsafeMutableRawBufferPointer(rebasing: room[part]))
    }
  }

  /// Reads bytes of a directory's pages file to a part of an array.
  ///
  /// - Throws: `ImagesError` when they are not there or cannot be read.
  public func read(_ place: Place, into bytes: inout [UInt8], at part: Range<Int>) throws(ImagesError) {
    var failure: ImagesError?
    unsafe bytes.withUnsafeMutableBytes { room in
      do throws(ImagesError) {
        unsafe try read(place, into: UnsafeMutableRawBufferPointer(rebasing: room[part]))
      } catch {
        failure = error
      }
    }
    if let failure { throw failure }
  }

  /// Finds out whether space of a pages file can be given back at all, and gives none.
  ///
  /// - Throws: `ImagesError` with `io` where it cannot.
  func preparePunching(_ place: Place) throws(ImagesError) {
    try pagemap(of: place.level)?.preparePunching()
  }

  /// Gives the space of pages back to the filesystem.
  ///
  /// - Throws: `ImagesError` with `io`.
  func punch(_ place: Place, byteCount: UInt64) throws(ImagesError) {
    try pagemap(of: place.level)?.punch(at: place.offset, byteCount: byteCount)
  }

  private func missing(_ address: UInt64) -> ImagesError {
    ImagesError(
      .malformed,
      "the page at 0x\(String(address, radix: 16)) of \(name) is missing: a newer directory leaves it to the older ones, and none has it"
    )
  }
}

/// A pagemap of one directory, and its pages file.
private final class LevelPagemap {
  struct Entry {
    let run: PagemapRun
    let range: Range<UInt64>
    /// Where the contents begin in the pages file, in bytes.
    let offset: UInt64
  }

  let pagesID: UInt32
  private let level: ImageChain.Level
  private var reader: PagemapImageReader
  private var current: Entry?
  private var isAtEnd = false
  private var nextOffset: UInt64 = 0
  private var file: OpenFile?
  private var isWritable = false

  init?(name: String, in level: ImageChain.Level) throws(ImagesError) {
    guard let reader = try PagemapImageReader(name: name, in: level.directory) else { return nil }
    self.level = level
    pagesID = reader.pagesID
    self.reader = reader
  }

  private var path: String { "\(level.directory.path)/\(ImageFormat.pagesName(id: pagesID))" }

  func advance() throws(ImagesError) -> Entry? {
    current = nil
    guard !isAtEnd else { return nil }
    guard let run = try reader.next() else {
      isAtEnd = true
      return nil
    }
    let byteCount = run.pageCount * level.directory.pageSize
    let entry = Entry(run: run, range: run.address..<run.address + byteCount, offset: nextOffset)
    if run.flags.contains(.present) { nextOffset += byteCount }
    current = entry
    return entry
  }

  func entry(atOrAbove address: UInt64) throws(ImagesError) -> Entry? {
    if current == nil { _ = try advance() }
    while let entry = current, entry.range.upperBound <= address { _ = try advance() }
    return current
  }

  func entry(at address: UInt64) throws(ImagesError) -> Entry? {
    guard let entry = try entry(atOrAbove: address), entry.range.contains(address),
      !entry.run.flags.isDisjoint(with: [.present, .parent])
    else { return nil }
    return entry
  }

  func read(at offset: UInt64, into bytes: UnsafeMutableRawBufferPointer) throws(ImagesError) {
    let descriptor = try open(forWriting: false)
    var done = 0
    while done < bytes.count {
      let count = unsafe sluice_pread(
        descriptor, bytes.baseAddress! + done, bytes.count - done, offset + UInt64(done))
      guard count >= 0 else { throw ImagesError(.io, "reading \(path)", errno: SystemErrno(returned: count)) }
      guard count > 0 else {
        throw ImagesError(.malformed, "\(path) is shorter than its pagemap says")
      }
      done += count
    }
  }

  /// Makes sure that all entries are in form.
  func checkForm() throws(ImagesError) {
    while try advance() != nil {}
  }

  /// Makes sure that the pages file has what all entries say, and no more.
  func checkSize() throws(ImagesError) {
    try checkForm()
    let file = try level.directory.pagesFile(id: pagesID)
    if file == nil, try level.directory.sentMark() != nil { return }
    let size = file?.byteCount ?? 0
    guard size == nextOffset else {
      throw ImagesError(.malformed, "\(path) has \(size) bytes, but its pagemap lists \(nextOffset)")
    }
  }

  /// Punches a hole behind the end of the file, where nothing is.
  func preparePunching() throws(ImagesError) {
    let descriptor = try open(forWriting: true)
    let size = sluice_file_size(descriptor)
    guard size >= 0 else { throw ImagesError(.io, "looking at \(path)", errno: SystemErrno(returned: size)) }
    let pageSize = level.directory.pageSize
    try punch(at: (UInt64(size) + pageSize - 1) / pageSize * pageSize, byteCount: pageSize)
  }

  func punch(at offset: UInt64, byteCount: UInt64) throws(ImagesError) {
    let descriptor = try open(forWriting: true)
    let result = sluice_punch_hole(descriptor, offset, byteCount)
    guard result == 0 else {
      let errno = SystemErrno(returned: result)
      let advice =
        errno.name == "EOPNOTSUPP"
        ? ", which its filesystem cannot: the images stay as large as they are" : ""
      throw ImagesError(.io, "punching holes into \(path)\(advice)", errno: errno)
    }
  }

  /// - Returns: the descriptor of the pages file, which stays this pagemap's.
  private func open(forWriting: Bool) throws(ImagesError) -> Int32 {
    let name = ImageFormat.pagesName(id: pagesID)
    if file == nil || forWriting && !isWritable {
      do throws(SystemError) {
        file =
          forWriting
          ? try level.directory.handle.openForWriting(name, trust: level.trust)
          : try level.directory.handle.openForReading(name)
      } catch {
        if error.code == .missing, let sent = try level.directory.sentMark() {
          throw ImagesError(
            .malformed,
            "the pages that \(path) would have were sent to the page server \(sent.server): do this there, or copy its pages files here"
          )
        }
        throw ImagesError(error, error.code == .failed ? .io : .malformed)
      }
      isWritable = forWriting
    }
    guard let descriptor = file?.descriptor.number else {
      preconditionFailure("the file was opened just now")
    }
    return descriptor
  }
}
