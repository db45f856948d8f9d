// Hashes the pages of a process and of its descendants while they run, in 16 MiB of memory, however much they have.
//
//   HashSink PID
//
// Prints a line for each page: the pid, the address, and the FNV-1a hash of its bytes.
import Sluice

/// A sink of its own: all that a sink has to do.
actor HashSink: PageSink {
  nonisolated let limits = SinkLimits()
  private var lines: [PageOwner: [String]] = [:]

  func begin(_ owner: PageOwner, expectedBytes: UInt64) { lines[owner] = [] }

  func write(_ chunk: consuming PageChunk) {
    let (pid, pageSize) = (chunk.owner.process?.pid ?? 0, chunk.pageSize)
    chunk.forEachRun { run, bytes in
      for offset in stride(from: 0, to: bytes.byteCount, by: pageSize) {
        let hash = fnv1a(bytes.extracting(offset..<offset + pageSize))
        let address = String(run.address + UInt64(offset), radix: 16)
        lines[chunk.owner]?.append("\(pid) 0x\(address) \(String(hash, radix: 16))")
      }
    }
  }

  func end(_ owner: PageOwner, failure: SluiceError?) {
    if let failure {
      print("\(owner) has no hashes: \(failure)")
      lines[owner] = nil
    }
  }

  func commit(_ manifest: RunManifest) {
    for entry in manifest.entries where entry.failure == nil {
      for line in lines[entry.owner] ?? [] { print(line) }
    }
  }

  func abort() { lines = [:] }

  private func fnv1a(_ bytes: RawSpan) -> UInt64 {
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    for index in bytes.byteOffsets {
      hash = (hash ^ UInt64(bytes.unsafeLoad(fromByteOffset: index, as: UInt8.self))) &* 0x100_0000_01b3
    }
    return hash
  }
}

guard CommandLine.arguments.count == 2, let pid = Int32(CommandLine.arguments[1]) else {
  fatalError("usage: HashSink PID")
}
_ = try await PreDump(.init(pid: pid), into: HashSink(), in: SluiceRuntime(memoryBudget: 16 << 20)).run()
