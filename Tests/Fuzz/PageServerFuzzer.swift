internal import SluiceWire

/// What the server's end of the page-server protocol makes of headers, one after the other: whatever they say, it must not
/// trap, and what it lets pass must be what a server can rely on. The bytes of pages, which no machine looks at, are not
/// among the input.
enum PageServerInput {
  private static let pageSize = 4096
  /// No process has more addresses than these.
  private static let endOfAddresses: UInt64 = 1 << 57

  /// A session, as far as it came.
  private struct Outcome: Equatable {
    var headers: [PageServerHeader] = []
    var requests: [PageServerSession.Request] = []
    var violation: PageServerSession.Violation?
    /// Whether the client probed for the layout, got its answer late, and went on with the second part of its probe.
    var isProbedLate = false
  }

  static func check(_ bytes: [UInt8]) {
    _ = PageServerClient.number(bytes)
    let (outcome, layout) = run(bytes)
    expectReliable(outcome)
    guard let layout else { return }
    // The layout is all that differs: the same headers in the other one are the same session.
    let other: PageServerLayout = layout == .bytes24 ? .bytes32 : .bytes24
    guard !outcome.isProbedLate, let first = outcome.headers.first, first.address == 0, first.object != 0,
      outcome.headers.allSatisfy({ $0.pageCount <= other.mostPages })
    else { return }
    let (again, found) = run(outcome.headers.flatMap { $0.encoded(other) })
    // Bytes that no client sends, a header for no pages, may be the second part of a probe in the other one.
    guard !again.isProbedLate else { return }
    guard found == other, again == outcome else {
      fatalError("in the layout of \(other.headerBytes) bytes \(outcome) is \(again)")
    }
  }

  /// Gives a session what it wants, until there is no more, or it is over.
  private static func run(_ bytes: [UInt8]) -> (Outcome, PageServerLayout?) {
    var session = PageServerSession(pageSize: pageSize)
    var outcome = Outcome()
    var (rest, header) = (bytes[...], [UInt8]())
    while !session.isClosed {
      let wanted = session.wantedBytes
      guard wanted > 0, header.count + wanted <= PageServerLayout.bytes32.headerBytes else {
        fatalError("a session wants \(wanted) bytes after \(header.count) of a header")
      }
      guard rest.count >= wanted else { break }
      header += rest.prefix(wanted)
      rest = rest.dropFirst(wanted)
      let part = Array(header.suffix(wanted))
      do throws(PageServerSession.Violation) {
        guard let request = unsafe try session.receive(part.span.bytes) else {
          if session.isInsideHeader { continue }
          guard outcome.headers.count == 1, header == secondPart(of: outcome), session.layout == .bytes32
          else { fatalError("a header is lost") }
          outcome.isProbedLate = true
          header = []
          continue
        }
        outcome.requests.append(request)
      } catch {
        guard !error.description.isEmpty, !error.description.contains("\n") else {
          fatalError("a reason is one line, and not '\(error)'")
        }
        outcome.violation = error
      }
      guard let layout = session.layout, header.count == layout.headerBytes else {
        fatalError("\(header.count) bytes are taken for a header of \(String(describing: session.layout))")
      }
      outcome.headers.append(unsafe PageServerHeader(header.span.bytes, layout: layout))
      header = []
      guard outcome.violation == nil else { break }
    }
    return (outcome, session.layout)
  }

  /// What a client sends that has asked for an object of earlier images first, and has waited too long for the answer.
  private static func secondPart(of outcome: Outcome) -> [UInt8]? {
    guard case .hasParent(let object)? = outcome.requests.first else { return nil }
    return PageServerLayoutProbe(object: object).secondPart
  }

  /// What is done with requests takes for granted.
  private static func expectReliable(_ outcome: Outcome) {
    var (opened, end) = (Set<PageServerObject>(), UInt64?.none)
    for (index, request) in outcome.requests.enumerated() {
      switch request {
      case .hasParent: break
      case .open(let object, _):
        guard opened.insert(object).inserted else { fatalError("\(object) is opened twice") }
        end = 0
      case .pages(let address, let byteCount, let flags, let isData):
        guard let former = end, address >= former, byteCount > 0, byteCount <= endOfAddresses,
          address <= endOfAddresses - byteCount, address % UInt64(pageSize) == 0,
          byteCount % UInt64(pageSize) == 0,
          isData == (flags & PageServerFlags.present != 0), isData != (flags & PageServerFlags.parent != 0)
        else { fatalError("\(request) comes after \(outcome.requests[..<index])") }
        end = address + byteCount
      case .close:
        guard index == outcome.requests.count - 1 else { fatalError("a session goes on after its end") }
      }
    }
  }
}
