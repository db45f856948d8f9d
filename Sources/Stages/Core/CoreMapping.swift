internal import SluiceTarget

/// A mapping, and what of it a core holds.
struct CoreMapping: Hashable, Sendable {
  /// What of a mapping a core holds.
  enum Treatment: Hashable, Sendable {
    /// Nothing, but that it is there.
    case nothing
    /// The first page, which says what file it is.
    case header
    /// The pages that the process has; the others read as zeros.
    case own
    /// The huge pages that the process has.
    case hugePages
    /// All pages, also those that the process has not come to yet.
    case whole
    /// All that the file has that it is shared by.
    case shared
  }

  let vma: VMA
  let treatment: Treatment
}

/// What of each mapping a core holds: as the kernel decides for its own cores (vma_dump_size in fs/coredump.c).
struct CoreRules: Hashable, Sendable {
  let filter: CoreFilter
  /// Whether what only files have is left out, also where the process has changed other pages of the same mapping.
  var leavesOutFiles = false

  /// - Parameters:
  ///   - details: what is known of it beside its line in maps; nil where it was mapped since that was looked at.
  ///   - isProgram: whether the first page is that of a program or library; asked where it matters alone.
  func treatment(
    of vma: VMA, _ details: MappingDetails?, isProgram: () -> Bool
  ) -> CoreMapping.Treatment {
    if Self.areOfKernel.contains(vma.name) { return .whole }
    if details?.isLeftOut == true { return .nothing }
    if details?.isHugetlb == true {
      return filter.contains(vma.isShared ? .sharedHuge : .privateHuge) ? .hugePages : .nothing
    }
    if isOfDevice(vma, details) { return .nothing }
    if vma.isShared {
      // Nobody can open by a name what has none any more.
      let isNameless = !vma.isFileBacked || vma.name.hasSuffix(" (deleted)")
      return filter.contains(isNameless ? .sharedAnonymous : .sharedFiles) ? .shared : .nothing
    }
    let hasOwn = details.map { $0.ownBytes > 0 } ?? (vma.isWritable || !vma.isFileBacked)
    guard vma.isFileBacked else { return filter.contains(.privateAnonymous) ? .own : .nothing }
    if hasOwn, filter.contains(.privateAnonymous) { return leavesOutFiles ? .own : .whole }
    if filter.contains(.privateFiles), !leavesOutFiles { return .whole }
    return filter.contains(.elfHeaders) && vma.fileOffset == 0 && isProgram() ? .header : .nothing
  }

  /// What the kernel maps into each process, which always belongs into a core.
  private static let areOfKernel: Set<String> = [
    "[vdso]", "[vvar]", "[vvar_vclock]", "[vsyscall]", "[sigpage]", "[uprobes]",
  ]

  private func isOfDevice(_ vma: VMA, _ details: MappingDetails?) -> Bool {
    if let details { return details.isDevice }
    return vma.name.hasPrefix("/dev/") && !vma.name.hasPrefix("/dev/zero") && !vma.name.hasPrefix("/dev/shm/")
  }
}

/// What smaps said of the mappings of a process, for those that are there later.
struct KnownDetails: Sendable {
  private let details: [MappingDetails]

  init(_ details: [MappingDetails] = []) { self.details = details }

  /// What was said of the mapping, or of that which it is a part of; nil where it was not there.
  func find(_ vma: VMA) -> MappingDetails? {
    var (low, high) = (0, details.count)
    while low < high {
      let middle = (low + high) / 2
      if details[middle].vma.end <= vma.start { low = middle + 1 } else { high = middle }
    }
    guard low < details.count, details[low].vma.start <= vma.start, details[low].vma.name == vma.name,
      details[low].vma.isShared == vma.isShared
    else { return nil }
    return details[low]
  }
}

extension [CoreMapping] {
  /// What of the memory is copied, as far as page tables do not tell.
  ///
  /// - Parameters:
  ///   - ranges: where memory is that was shared, or is of huge pages.
  ///   - isLast: whether all is copied that belongs into a core; else what the page tables tell alone.
  func selection(
    pageSize: UInt64, isLast: Bool, _ ranges: (CoreMapping) throws(TargetError) -> [Range<UInt64>]
  ) throws(TargetError) -> PageSelection {
    var selection = PageSelection()
    for mapping in self {
      let range = mapping.vma.start..<mapping.vma.end
      switch mapping.treatment {
      case .own: continue
      case .nothing: selection.omit(range)
      case .header:
        selection.omit(range)
        if isLast { selection.whole.append(range.lowerBound..<range.lowerBound + pageSize) }
      case .whole: if isLast { selection.whole.append(range) }
      case .shared, .hugePages: if isLast { selection.whole += try ranges(mapping) }
      }
    }
    return selection
  }
}
