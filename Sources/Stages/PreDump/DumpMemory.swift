internal import CSluiceLinux
internal import SluiceImages
internal import SluicePipeline
internal import SluiceTarget

/// What a dump needs of the memory budget beside its buffers.
struct DumpMemory: Sendable {
  /// The memory for one set of pages that are to be copied, because they were written since the parent's images were made
  /// or may be by devices, in bytes: a share of the whole, and no more than a set can fill. That is a byte for each page
  /// where every other one was written, and two where the processes grow to twice what they have.
  let dirtyBytes: Int
  private let total: Int
  /// How many of those sets there are at once: where the walk finds out what was written, one for the next round is
  /// filled while the last one's is looked at.
  private let dirtySets: Int
  private let tracker: PreDump.Configuration.Tracker
  private let mayHaveParent: Bool

  /// - Parameters:
  ///   - total: the budget in bytes.
  ///   - ownMemory: of the processes, in bytes.
  init(_ configuration: PreDump.Configuration, _ role: RoundRole, total: Int, ownMemory: UInt64) {
    self.total = total
    tracker = configuration.tracker
    mayHaveParent = configuration.parentDirectory != nil || role.tracking != nil
    dirtySets = role.tracking == nil ? 1 : 2
    let most = Int(clamping: 2 * (ownMemory / UInt64(sluice_page_size())))
    dirtyBytes = max(DirtySet.smallestBytes, min(total / 8 / dirtySets, most))
  }

  /// Memory of fixed sizes.
  ///
  /// - Parameter parents: how many directories the dump builds on.
  func shares(parents: Int) -> [MemoryBudget.Share] {
    [
      .init(purpose: "mappings", byteCount: MemoryMap.textBytes),
      .init(purpose: "page states", byteCount: PageScanner.tableBytes),
      .init(purpose: "pagemap records", byteCount: PagemapImageWriter.bufferBytes),
    ] + sharesForParent(parents) + sharesForContents
  }

  /// Makes sure that the budget has room for them.
  ///
  /// - Throws: `SluiceError` with `invalidArgument`.
  func check(parents: Int) throws(SluiceError) {
    do throws(MemoryBudget.TooSmall) {
      _ = try MemoryBudget(total: total, shares: shares(parents: parents), pageSize: Int(sluice_page_size()))
    } catch {
      throw SluiceError(error)
    }
  }

  private func sharesForParent(_ parents: Int) -> [MemoryBudget.Share] {
    guard mayHaveParent else { return [] }
    let pagemap = MemoryBudget.Share(
      purpose: "the parents' pagemaps", byteCount: parents * PagemapImageReader.bufferBytes)
    guard tracker != .content else { return [pagemap] }
    return [
      .init(purpose: "written pages", byteCount: dirtySets * dirtyBytes),
      .init(purpose: "their states", byteCount: SoftDirtyScanner.tableBytes),
      pagemap,
    ]
  }

  /// Where the contents of pages may be compared: whether they are is found out when the round begins.
  private var sharesForContents: [MemoryBudget.Share] {
    guard tracker == .content || tracker == .automatic && mayHaveParent else { return [] }
    return [
      .init(purpose: "hashes of pages", byteCount: PageHashReader.bufferBytes + PageHashWriter.bufferBytes)
    ]
  }
}
