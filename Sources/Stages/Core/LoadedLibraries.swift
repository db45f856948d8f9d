internal import SluiceImages
internal import SluiceTarget

/// Finds the memory in which the dynamic linker keeps the list of what it has loaded, which debuggers follow: from the
/// auxiliary vector to the program's dynamic section, to r_debug, and from one link_map to the next (elf(5), link.h).
enum LoadedLibraries {
  /// The process may have anything there: no more than this is followed.
  private static let mostLibraries = 4096
  private static let mostHeaders: UInt64 = 256
  private static let mostEntries = 512

  /// The pages of that list; none where there is none, as in a program that loads nothing.
  static func ranges(
    of process: TargetProcess, auxiliaryVector: [UInt8], pageSize: UInt64
  ) -> [Range<UInt64>] {
    guard var map = firstMap(of: process, auxiliaryVector) else { return [] }
    var pages = Set<UInt64>()
    func take(_ address: UInt64, _ count: UInt64) {
      let (first, last) = (address / pageSize, (address &+ count) / pageSize)
      guard last >= first, last - first < 3 else { return }
      for page in first...last { pages.insert(page) }
    }
    for _ in 0..<mostLibraries {
      guard map != 0, let entry = process.bytes(at: map, count: 40), let name = entry.word(at: 8),
        let next = entry.word(at: 24)
      else { break }
      take(map, 1024)
      take(name, 512)
      map = next
    }
    return pages.map { $0 * pageSize..<($0 + 1) * pageSize }
  }

  private static func firstMap(of process: TargetProcess, _ vector: [UInt8]) -> UInt64? {
    var found: [UInt64: UInt64] = [:]
    for offset in stride(from: 0, to: vector.count - 15, by: 16) {
      if let type = vector.word(at: offset), let value = vector.word(at: offset + 8) { found[type] = value }
    }
    // AT_PHDR and AT_PHNUM.
    guard let headers = found[3], let count = found[5], count <= mostHeaders,
      let table = process.bytes(at: headers, count: Int(count) * CoreHeaders.programHeaderBytes)
    else { return nil }
    var (base, dynamic): (UInt64?, UInt64?) = (nil, nil)
    for number in 0..<Int(count) {
      let offset = number * CoreHeaders.programHeaderBytes
      guard let type = table.word(at: offset), let address = table.word(at: offset + 16) else { continue }
      switch UInt32(truncatingIfNeeded: type) {
      // PT_PHDR: where the headers themselves are, by the file. PT_DYNAMIC.
      case 6: base = headers &- address
      case 2: dynamic = address
      default: break
      }
    }
    guard let dynamic else { return nil }
    let start = dynamic &+ (base ?? 0)
    for number in 0..<mostEntries {
      guard let entry = process.bytes(at: start &+ UInt64(16 * number), count: 16),
        let tag = entry.word(at: 0),
        tag != 0, let value = entry.word(at: 8)
      else { return nil }
      // DT_DEBUG: r_debug, in which the list's first entry follows the version.
      guard tag == 21 else { continue }
      return process.bytes(at: value &+ 8, count: 8)?.word(at: 0)
    }
    return nil
  }
}
