internal import CSluiceLinux
import Glibc
internal import SluiceWire

/// libFuzzer calls this with one input after the other. Whatever stands in images, or comes from the clients of a page
/// server (`PageServerInput`), the readers must not trap, and the
/// worst that they may say of it is that it is malformed; and what one of them takes for right is held against what
/// another says of the same.
///
/// It is compiled into the module of Sources/Images, by Tests/Fuzz/run; Sources/Wire is a module beside it.
@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ bytes: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  unsafe scratch.write(ImagesInput(UnsafeBufferPointer(start: bytes, count: count)))
  checkInventory()
  checkTrackedProcesses()
  checkCoverage()
  checkChain()
  checkDedupMark(unsafe Array(UnsafeBufferPointer(start: bytes, count: count)))
  checkMessages(unsafe Array(UnsafeBufferPointer(start: bytes, count: count)))
  PageServerInput.check(unsafe Array(UnsafeBufferPointer(start: bytes, count: count)))
  return 0
}

/// Where inputs are written to; Tests/Fuzz/run makes it, and removes it in the end.
private let scratch: ImagesScratch = {
  guard let path = unsafe getenv("SLUICE_FUZZ_SCRATCH") else {
    fatalError("SLUICE_FUZZ_SCRATCH is not set: use Tests/Fuzz/run")
  }
  return ImagesScratch(path: unsafe String(cString: path))
}()

/// Runs a reader.
///
/// - Returns: nil when it says that what it reads is malformed.
private func read<Result>(_ body: () throws(ImagesError) -> Result) -> Result? {
  do throws(ImagesError) {
    return try body()
  } catch {
    // The files are there and can be read: nothing else can be wrong with them.
    guard error.code == .malformed else { fatalError("a reader fails with something else: \(error)") }
    return nil
  }
}

/// Reads bytes that we have encoded ourselves.
private func readAgain<Result>(
  _ bytes: [UInt8], _ body: (inout RecordReader) throws(ImagesError) -> Result
) -> Result? {
  let name = "again.img"
  scratch.replace("0/\(name)", by: bytes)
  return read { () throws(ImagesError) in
    guard var reader = try RecordReader(opening: name, in: ImagesDirectory(path: scratch.newest)) else {
      fatalError("\(name) is not there")
    }
    return try body(&reader)
  }
}

/// What engines say comes from outside as well.
private func checkMessages(_ packet: [UInt8]) {
  _ = EngineRequest(packet: packet)
  guard let answer = EngineAnswer(packet: packet) else { return }
  guard EngineAnswer(packet: answer.packet()) == answer else {
    fatalError("an answer is not understood again")
  }
}

/// What was understood of an inventory is understood again.
private func checkInventory() {
  let found = read { () throws(ImagesError) in try ImagesDirectory(path: scratch.newest).inventory() }
  guard let inventory = found ?? nil else { return }
  let again = readAgain(inventory.encoded()) { (reader) throws(ImagesError) in
    try Inventory(reading: &reader)
  }
  guard again == inventory else { fatalError("\(inventory) became \(String(describing: again))") }
}

/// The same of tracked tasks.
private func checkTrackedProcesses() {
  let parent = read { () throws(ImagesError) in try ParentImages(path: scratch.newest) }
  guard let tracked = parent?.tracked else { return }
  let again = readAgain(tracked.encoded()) { (reader) throws(ImagesError) in
    try TrackedProcesses(reading: &reader)
  }
  guard again == tracked else { fatalError("\(tracked) became \(String(describing: again))") }
}

/// The same of what `dedup` has left.
private func checkDedupMark(_ bytes: [UInt8]) {
  let found = readAgain(bytes) { (reader) throws(ImagesError) in try DedupMark(reading: &reader) }
  guard let mark = found else { return }
  let again = readAgain(mark.encoded()) { (reader) throws(ImagesError) in try DedupMark(reading: &reader) }
  guard again == mark else { fatalError("\(mark) became \(String(describing: again))") }
}

/// Two readers agree on how many pages of a task there are, or that it is malformed.
private func checkCoverage() {
  let listed = read { () throws(ImagesError) -> UInt64? in
    guard var reader = try PagemapImageReader(pid: 1, in: ImagesDirectory(path: scratch.newest)) else {
      return nil
    }
    var pages: UInt64 = 0
    while let run = try reader.next() {
      if !run.flags.isDisjoint(with: [.present, .parent]) { pages &+= run.pageCount }
    }
    return pages
  }
  let covered = read { () throws(ImagesError) -> UInt64? in
    let directory = try ImagesDirectory(path: scratch.newest)
    guard var coverage = try PagemapCoverage.open(pid: 1, in: directory) else { return nil }
    var (bytes, position) = (UInt64(0), UInt64(0))
    while position < UInt64.max {
      let answer = try coverage.next(in: position..<UInt64.max)
      guard answer.end > position else { fatalError("the coverage stays at \(position)") }
      if answer.isCovered { bytes += answer.end - position }
      position = answer.end
    }
    return bytes / directory.pageSize
  }
  guard covered == listed else {
    fatalError("covered are \(String(describing: covered)) pages, and listed \(String(describing: listed))")
  }
}

/// Of a chain that is found to be whole, every page is somewhere and can be read; and it is as whole when the pages
/// that it has twice were given back.
private func checkChain() {
  guard let chain = read({ () throws(ImagesError) in try ImageChain(path: scratch.newest) }),
    let verified = read({ () throws(ImagesError) in try chain.verify() }), verified.problems.isEmpty
  else { return }
  must { () throws(ImagesError) in try readEnds(of: chain) == verified.pages }
  must { () throws(ImagesError) in
    do throws(ImagesError) {
      _ = try chain.dedup()
    } catch {
      // Of a parent that it needs nothing of, nothing need be in form. Then nothing is touched.
      guard error.code == .malformed else { throw error }
    }
    return try chain.verify().problems.isEmpty
  }
}

/// Reads the first and the last page of each run, wherever in the chain they are.
///
/// - Returns: how many pages there are.
private func readEnds(of chain: ImageChain) throws(ImagesError) -> UInt64 {
  let pageSize = UInt64(sluice_page_size())
  var page = [UInt8](repeating: 0, count: Int(pageSize))
  var pages: UInt64 = 0
  for name in try chain.pagemapNames() {
    let pagemap = try ChainPagemap(name: name, in: chain)
    while let run = try pagemap.next() {
      pages += run.pageCount
      for address in [run.address, run.address + (run.pageCount - 1) * pageSize] {
        let place = try pagemap.place(of: address..<address + pageSize)
        try pagemap.read(place, into: &page, at: 0..<Int(min(pageSize, place.end - address)))
      }
    }
  }
  return pages
}

/// What was found to be right already must go well.
private func must(_ body: () throws(ImagesError) -> Bool) {
  do throws(ImagesError) {
    guard try body() else { fatalError("a chain that was found to be whole is not") }
  } catch {
    fatalError("a chain that was found to be whole is not: \(error)")
  }
}
