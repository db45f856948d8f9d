public import CSluiceLinux

/// Asks the kernel which nodes (NUMA) hold the pages of a process. Nothing is moved, and no page is brought into memory.
///
/// It goes by the pid, and so by whatever program the process executes at that moment: what it tells is good for choosing
/// who reads a page, and for nothing that must be right.
public struct PageNodes: Sendable {
  private let process: TargetProcess

  /// The pages of this process.
  public init(of process: TargetProcess) {
    self.process = process
  }

  /// Finds the nodes of pages.
  ///
  /// - Parameters:
  ///   - addresses: one in each page.
  ///   - nodes: becomes as long; a node's number, or less than 0 where there is no page, or only the one of zeros.
  /// - Returns: nil, or why the kernel does not tell: EPERM, ESRCH when the process has ended, ENOSYS.
  public func find(_ addresses: [UInt64], into nodes: inout [Int32]) -> SystemErrno? {
    nodes = Array(repeating: -1, count: addresses.count)
    guard !addresses.isEmpty else { return nil }
    let result = unsafe sluice_nodes_of_pages(process.pid, addresses.count, addresses, &nodes)
    return result == 0 ? nil : SystemErrno(code: -result)
  }

  /// So much of a mapping goes by one page of it.
  private static let bytesPerSample: UInt64 = 16 << 20
  private static let mostSamplesOfMapping: UInt64 = 32
  private static let mostSamples = 2048
  private static let batch = 256

  /// Estimates how much memory of the process each node holds, by some pages of each mapping.
  ///
  /// - Returns: bytes by the nodes' numbers; nothing where the kernel does not tell.
  /// - Throws: `TargetError` when the list of mappings cannot be read.
  public func estimate() throws(TargetError) -> [Int: UInt64] {
    let pageSize = UInt64(sluice_page_size())
    var held: [Int: UInt64] = [:]
    var (addresses, weights, nodes): ([UInt64], [UInt64], [Int32]) = ([], [], [])
    var samples = 0
    func count() {
      guard find(addresses, into: &nodes) == nil else { return }
      for (node, weight) in zip(nodes, weights) where node >= 0 { held[Int(node), default: 0] += weight }
    }
    var map = MemoryMap(of: process)
    while samples < Self.mostSamples, let vma = try map.next() {
      // What is not the process' own is not copied.
      guard !vma.isFileBacked || vma.isWritable else { continue }
      let wanted = min(max(vma.byteCount / Self.bytesPerSample, 1), Self.mostSamplesOfMapping)
      let step = vma.byteCount / wanted
      for index in 0..<wanted {
        addresses.append((vma.start + index * step + step / 2) / pageSize * pageSize)
        weights.append(step)
      }
      samples += Int(wanted)
      guard addresses.count >= Self.batch else { continue }
      count()
      addresses.removeAll(keepingCapacity: true)
      weights.removeAll(keepingCapacity: true)
    }
    count()
    return held
  }
}
