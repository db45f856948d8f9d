import Testing

@testable import Sluice

extension StagesTests {
  /// The parts of compressed cores, without files.
  @Suite("Parts of compressed cores")
  struct CompressionPartsTests {
    @Test(arguments: [1, 2, 1 << 17, 1 << 17 + 1, 1 << 17 + 2, 5_000_000])
    func aFrameOfZerosIsOne(count: Int) throws {
      let frame = HoleFrame.make(of: count)
      #expect(frame.count == HoleFrame.byteCount(of: count))
      let expander = try ZstdExpander(longestWindow: 17)
      var bytes = [UInt8](repeating: 1, count: count + 1)
      #expect(try expander.expand(frame, count: frame.count, into: &bytes, called: "zeros") == count)
      #expect(bytes == [UInt8](repeating: 0, count: count) + [1])
    }

    @Test func nothingIsCutTwiceNorLeftOut() {
      var random = SystemRandomNumberGenerator()
      for _ in 0..<200 {
        let size = UInt64.random(in: 0...40 << 20, using: &random)
        var extents: [Range<UInt64>] = []
        var at = UInt64.random(in: 0...3 << 20, using: &random)
        while at < size {
          let end = min(size, at + .random(in: 1...5 << 20, using: &random))
          extents.append(at..<end)
          at = end + .random(in: 1...3 << 20, using: &random)
        }
        var plan = FramePlan(byteCount: size, frameBytes: 1 << 20)
        var position: UInt64 = 0
        var holes: [Range<UInt64>] = []
        while let frame = plan.next({ offset in
          extents.first { offset < $0.upperBound }.map { max(offset, $0.lowerBound)..<$0.upperBound }
        }) {
          let end = position + UInt64(frame.byteCount)
          switch frame {
          case .data(let range):
            #expect(range == position..<end)
            #expect(frame.byteCount <= 1 << 20)
          case .hole: holes.append(position..<end)
          }
          position = end
        }
        #expect(position == size)
        for hole in holes { #expect(!extents.contains { $0.overlaps(hole) }) }
        // No large hole was read.
        for (one, next) in zip(extents, extents.dropFirst())
        where next.lowerBound - one.upperBound >= FramePlan.leastHole {
          #expect(holes.contains(one.upperBound..<next.lowerBound))
        }
      }
    }

    @Test func aTableSaysWhatWasPutIntoIt() throws {
      var writer = SeekTable.Writer(mostBytes: 1 << 20)
      let entries = (0..<5000).map { SeekTable.Entry(compressed: UInt32($0), expanded: UInt32($0) * 3) }
      for entry in entries { writer.add(entry) }
      let table = writer.finish()
      let start = entries.reduce(0) { $0 + UInt64($1.compressed) }
      let foot = Array(table.suffix(SeekTable.footBytes))
      let place = try #require(SeekTable.Place(foot: foot, fileBytes: start + UInt64(table.count)))
      #expect(place.start == start)
      #expect(place.hasHead(Array(table.prefix(SeekTable.headBytes))))
      var reader = SeekTable.Reader(place)
      var found: [SeekTable.Entry] = []
      while let frame = reader.next({ offset, count in
        Array(table[Int(offset - start)..<Int(offset - start) + count])
      }) {
        found.append(frame.entry)
      }
      #expect(found == entries)
      #expect(reader.start == start && reader.content == 3 * start)
      // A file that is shorter than its table says.
      #expect(SeekTable.Place(foot: foot, fileBytes: UInt64(table.count) - 1) == nil)
    }

    @Test(arguments: ZstdCompressor.levels)
    func theLibraryTakesNoMoreMemoryThanIsReckoned(level: Int) throws {
      let compressor = try ZstdCompressor(level: level)
      let bytes = (0..<CompressionMemory.mostFrameBytes).map { UInt8(truncatingIfNeeded: $0 &* $0 >> 7) }
      var frame = [UInt8](repeating: 0, count: ZstdCompressor.bound(of: bytes.count))
      _ = try compressor.compress(bytes, count: bytes.count, into: &frame)
      #expect(compressor.byteCount <= ZstdCompressor.memory(level: level))
    }

    @Test func theBudgetIsDividedAmongThreads() throws {
      for budget in [1 << 20, 2 << 20, 5 << 20, 16 << 20, 64 << 20, 256 << 20] {
        for threads in [1, 2, 8] {
          guard let memory = try? CompressionMemory(compressingAt: 1, threads: threads, budget: budget) else {
            #expect(budget < 2 << 20)
            continue
          }
          let each =
            memory.frameBytes + ZstdCompressor.bound(of: memory.frameBytes) + ZstdCompressor.memory(level: 1)
          #expect(memory.threads * each + memory.tableBytes <= budget)
          #expect((1...threads).contains(memory.threads))
        }
      }
      let large = try CompressionMemory(compressingAt: 3, threads: 2, budget: 64 << 20)
      #expect(large.threads == 2 && large.frameBytes == CompressionMemory.mostFrameBytes)
    }
  }
}
