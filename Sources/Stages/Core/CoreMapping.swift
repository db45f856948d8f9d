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
  ///   - hasOwnNow: whether the process has pages of its own in it at this moment; asked where `details` does not tell alone.
  ///     Nil where nobody knows.
  ///   - isProgram: whether the first page is that of a program or library; asked where it matters alone.
  /// - Throws: `TargetError` of `hasOwnNow`.
  func treatment(
    of vma: VMA, _ details: MappingDetails?, hasOwnNow: () throws(TargetError) -> Bool?, isProgram: () -> Bool
  ) throws(TargetError) -> CoreMapping.Treatment {
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
    guard vma.isFileBacked else { return filter.contains(.privateAnonymous) ? .own : .nothing }
    if filter.contains(.privateAnonymous), try hasOwn(vma, details, hasOwnNow) {
      return leavesOutFiles ? .own : .whole
    }
    if filter.contains(.privateFiles), !leavesOutFiles { return .whole }
    return filter.contains(.elfHeaders) && vma.fileOffset == 0 && isProgram() ? .header : .nothing
  }

  /// What the kernel maps into each process, which always belongs into a core.
  private static let areOfKernel: Set<String> = [
    "[vdso]", "[vvar]", "[vvar_vclock]", "[vsyscall]", "[sigpage]", "[uprobes]",
  ]

  /// Whether a process has changed pages of a file that is mapped for it alone.
  private func hasOwn(
    _ vma: VMA, _ details: MappingDetails?, _ hasOwnNow: () throws(TargetError) -> Bool?
  ) throws(TargetError) -> Bool {
    // What was said of another mapping in its place, or before its access was changed, as the dynamic linker does, is not
    // of this one.
    let told = details?.vma == vma ? details.map { $0.ownBytes > 0 } : nil
    // And one that has no such page may get its first at any moment, where it can be written.
    if told == true || told == false && !vma.isWritable { return told == true }
    return try hasOwnNow() ?? told ?? vma.isWritable
  }

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
    let index = details.firstIndex(endingBehind: vma.start) { $0.vma.end }
    guard index < details.count, details[index].vma.start <= vma.start, details[index].vma.name == vma.name,
      details[index].vma.isShared == vma.isShared
    else { return nil }
    return details[index]
  }
}

extension [CoreMapping] {
  /// What of a core changes by what the process wants in no core after it stood still.
  struct Settled: Hashable, Sendable {
    /// The mappings, and what the core holds of them.
    fileprivate(set) var mappings: [CoreMapping] = []
    /// What the core had until now.
    fileprivate(set) var removed: [Range<UInt64>] = []
    /// What the core lacks although the process may have wanted it in a core when it stood still.
    fileprivate(set) var missing: [Range<UInt64>] = []
  }

  /// Compares what was known of a process before it stood still and after that.
  ///
  /// - Parameter mostAsked: of a mapping of more bytes it was not asked, when the process stood still, whether it has pages
  ///   of its own.
  func settled(before: KnownDetails, now: KnownDetails, mostAsked: UInt64) -> Settled {
    var settled = Settled()
    for mapping in self {
      let vma = mapping.vma
      let (range, had) = (vma.start..<vma.end, before.find(vma)?.isLeftOut == true)
      let found = now.find(vma)
      // One that was divided meanwhile had no mark as a whole when the process stood still.
      let has = found.map { $0.isLeftOut && $0.vma.end >= vma.end }
      if mapping.treatment != .nothing, !had, has == true {
        settled.mappings.append(CoreMapping(vma: vma, treatment: .nothing))
        settled.removed.append(range)
        continue
      }
      let isUnasked = vma.isFileBacked && !vma.isShared && vma.byteCount > mostAsked
      switch mapping.treatment {
      case .nothing where had && has == false: settled.missing.append(range)
      case .nothing where isUnasked && !had && found?.ownBytes ?? 0 > 0: settled.missing.append(range)
      case .header where isUnasked && found?.ownBytes ?? 0 > 0: settled.missing.append(range)
      case .nothing, .header, .own, .hugePages, .whole, .shared: break
      }
      settled.mappings.append(mapping)
    }
    return settled
  }

  /// The same for a core that has just what shows the threads' calls: data of programs and libraries, and these ranges.
  func selectionOfStacks(_ wanted: [Range<UInt64>], pageSize: UInt64) -> PageSelection {
    var selection = PageSelection()
    var rest = wanted.sorted { $0.lowerBound < $1.lowerBound }[...]
    for mapping in self {
      let range = mapping.vma.start..<mapping.vma.end
      // What a process wants in no core is in none of these either.
      while let first = rest.first, first.lowerBound < range.upperBound {
        rest.removeFirst()
        let part = first.clamped(to: range)
        guard !part.isEmpty, mapping.treatment == .own, !mapping.vma.isFileBacked else { continue }
        if let last = selection.whole.indices.last, selection.whole[last].upperBound >= part.lowerBound {
          selection.whole[last] =
            selection.whole[last].lowerBound..<Swift.max(selection.whole[last].upperBound, part.upperBound)
        } else {
          selection.whole.append(part)
        }
      }
      switch mapping.treatment {
      case .own where mapping.vma.isFileBacked: continue
      case .whole where !mapping.vma.isFileBacked: selection.whole.append(range)
      case .header:
        selection.omit(range)
        selection.whole.append(range.lowerBound..<range.lowerBound + pageSize)
      case .own, .whole, .shared, .hugePages, .nothing: selection.omit(range)
      }
    }
    return selection
  }

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
