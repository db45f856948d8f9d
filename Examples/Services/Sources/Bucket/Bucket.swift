import AsyncHTTPClient
import Crypto
import Glibc
import NIOCore
import NIOHTTP1

/// Why a request has failed for good.
public struct BucketError: Error, CustomStringConvertible {
  /// The server's answer; nil where there was none.
  public let status: UInt?
  /// One line.
  public let description: String

  /// An error with an answer, or without one.
  public init(status: UInt?, description: String) {
    self.status = status
    self.description = description
  }
}

/// A bucket of an S3-compatible server. Requests that fail for a reason that may pass are made again, after pauses that become
/// longer; each has its limit of time.
public struct Bucket: Sendable {
  private let endpoint: String
  private let name: String
  private let signer: Signer
  private let client: HTTPClient
  /// How often a request is made, at most.
  private let tries: Int
  private let timeLimit: TimeAmount

  /// - Parameter endpoint: such as "https://s3.eu-central-1.amazonaws.com", without a slash at its end.
  public init(
    endpoint: String, name: String, signer: Signer, client: HTTPClient, tries: Int = 8,
    timeLimit: TimeAmount = .seconds(60)
  ) {
    self.endpoint = endpoint
    self.name = name
    self.signer = signer
    self.client = client
    self.tries = tries
    self.timeLimit = timeLimit
  }

  /// An HTTP client as buckets want it.
  public static func makeClient(connections: Int, readTimeLimit: TimeAmount = .seconds(20)) -> HTTPClient {
    var configuration = HTTPClient.Configuration()
    configuration.timeout.connect = .seconds(10)
    configuration.timeout.read = readTimeLimit
    configuration.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = connections
    configuration.httpVersion = .http1Only
    configuration.redirectConfiguration = .disallow
    return HTTPClient(configuration: configuration)
  }

  /// Ends such a client, whose requests have ended.
  public static func end(_ client: HTTPClient) async throws { try await client.shutdown() }

  /// What a server has answered.
  public struct Answer: Sendable {
    /// Such as 200.
    public let status: UInt
    /// As they came.
    public let headers: HTTPHeaders
    /// All of it.
    public var body: ByteBuffer
    /// How often the request was made.
    public let tries: Int
    var text: String { String(buffer: body) }
  }

  /// Makes a request until it has an answer that is none of a moment's trouble.
  ///
  /// - Parameters:
  ///   - accepted: answers that are returned; any other is an error.
  ///   - mostBytes: the longest body that an answer may have.
  public func request(
    _ method: HTTPMethod, _ key: String, query: [(String, String)] = [], headers: [(String, String)] = [],
    body: ByteBuffer? = nil, accepting accepted: Set<UInt> = [200], mostBytes: Int = 1 << 20,
    check: @Sendable (Answer) -> String? = { _ in nil }
  ) async throws -> Answer {
    let hash = Self.hash(body)
    var last = ""
    for number in 1...max(1, tries) {
      if number > 1 { try await pause(before: number) }
      do {
        let answer = try await send(method, key, query, headers, body, hash, mostBytes, number)
        if let wrong = accepted.contains(answer.status) ? check(answer) : nil {
          last = wrong
          continue
        }
        if accepted.contains(answer.status) { return answer }
        last = "the server answers \(answer.status)\(Self.reason(answer))"
        guard answer.status >= 500 || [408, 429].contains(answer.status) else {
          throw BucketError(status: answer.status, description: "\(method.rawValue) \(name)/\(key): \(last)")
        }
      } catch let error as BucketError {
        throw error
      } catch {
        // It is ours to end, and no trouble of the server.
        try Task.checkCancellation()
        last = "\(error)"
      }
    }
    throw BucketError(
      status: nil,
      description: "\(method.rawValue) \(name)/\(key): given up after \(tries) tries: \(last)")
  }

  private static func reason(_ answer: Answer) -> String {
    element("Code", of: answer.text).map { code in
      " (\(code)\(element("Message", of: answer.text).map { ": \($0)" } ?? ""))"
    } ?? ""
  }

  /// Doubles each time up to some seconds, and is any time below that: many that failed at once do not come back at once.
  private func pause(before number: Int) async throws {
    let most = min(5000, 50 << (number - 1))
    try await Task.sleep(for: .milliseconds(Int.random(in: most / 4...most)))
  }

  private func send(
    _ method: HTTPMethod, _ key: String, _ query: [(String, String)], _ headers: [(String, String)],
    _ body: ByteBuffer?, _ hash: String, _ mostBytes: Int, _ number: Int
  ) async throws -> Answer {
    let path = "/\(Signer.encode(name))" + (key.isEmpty ? "" : "/\(Signer.encode(key, isPath: true))")
    let host = endpoint.split(separator: "/").last.map(String.init) ?? ""
    let encoded = Signer.encode(query)
    var request = HTTPClientRequest(url: endpoint + path + (encoded.isEmpty ? "" : "?\(encoded)"))
    request.method = method
    let signed = signer.sign(
      method.rawValue, path: path, query: query, headers: headers + [("host", host)], payloadHash: hash,
      at: time(nil))
    for (name, value) in signed { request.headers.add(name: name, value: value) }
    if let body {
      request.body = .stream(Slices(body), length: .known(Int64(body.readableBytes)))
    }
    let response = try await client.execute(request, timeout: timeLimit)
    var received = ByteBuffer()
    for try await part in response.body {
      guard received.readableBytes + part.readableBytes <= mostBytes else {
        throw BucketError(
          status: response.status.code,
          description: "\(method.rawValue) \(name)/\(key): the server sends more than \(mostBytes) bytes")
      }
      received.writeImmutableBuffer(part)
    }
    return Answer(status: response.status.code, headers: response.headers, body: received, tries: number)
  }

  /// A body in pieces that share its memory: what is on its way beside it (TLS, sockets) stays small.
  private struct Slices: AsyncSequence, AsyncIteratorProtocol, Sendable {
    private var rest: ByteBuffer
    init(_ buffer: ByteBuffer) { rest = buffer }
    func makeAsyncIterator() -> Slices { self }
    mutating func next() async -> ByteBuffer? {
      rest.readableBytes == 0 ? nil : rest.readSlice(length: Swift.min(rest.readableBytes, 256 << 10))
    }
  }

  private static func hash(_ body: ByteBuffer?) -> String {
    var hasher = SHA256()
    body?.withUnsafeReadableBytes { hasher.update(bufferPointer: $0) }
    return Signer.digits(hasher.finalize())
  }

  /// What stands in the first element of a name.
  static func element(_ name: String, of text: String) -> String? {
    guard let start = text.range(of: "<\(name)>"), let end = text[start.upperBound...].range(of: "</\(name)>")
    else { return nil }
    return String(text[start.upperBound..<end.lowerBound])
  }
}

extension StringProtocol {
  /// Where another text is first.
  fileprivate func range(of other: String) -> Range<Index>? {
    var start = startIndex
    while start < endIndex {
      if self[start...].hasPrefix(other) { return start..<index(start, offsetBy: other.count) }
      start = index(after: start)
    }
    return nil
  }
}

// MARK: - Objects

extension Bucket {
  /// Writes an object that is not there yet.
  ///
  /// - Throws: `BucketError` with 412 where there is one of that name already.
  public func create(_ key: String, _ body: ByteBuffer) async throws {
    let answer = try await request(
      .PUT, key, headers: [("if-none-match", "*")], body: body, accepting: [200, 412])
    guard answer.status == 412 else { return }
    // An earlier try of ours may have arrived, though its answer has not.
    if answer.tries > 1 {
      let there = try await request(
        .GET, key, accepting: [200, 404], mostBytes: body.readableBytes + (1 << 20))
      if there.status == 200, there.body == body { return }
    }
    throw BucketError(status: 412, description: "\(name)/\(key): there is one already")
  }

  /// Writes an object, or replaces it.
  public func put(_ key: String, _ body: ByteBuffer) async throws {
    _ = try await request(.PUT, key, body: body)
  }

  /// Reads a whole object; nil where there is none.
  public func get(_ key: String, mostBytes: Int) async throws -> ByteBuffer? {
    let answer = try await request(.GET, key, accepting: [200, 404], mostBytes: mostBytes) { answer in
      Bucket.wrongLength(answer, nil)
    }
    return answer.status == 404 ? nil : answer.body
  }

  /// Reads a range of an object.
  public func get(_ key: String, range: Range<UInt64>) async throws -> ByteBuffer {
    let count = Int(range.upperBound - range.lowerBound)
    return try await request(
      .GET, key, headers: [("range", "bytes=\(range.lowerBound)-\(range.upperBound - 1)")], accepting: [206],
      mostBytes: count
    ) { Bucket.wrongLength($0, count) }.body
  }

  private static func wrongLength(_ answer: Answer, _ count: Int?) -> String? {
    let expected = count ?? answer.headers.first(name: "content-length").flatMap { Int($0) }
    guard let expected, answer.status != 404, answer.body.readableBytes != expected else { return nil }
    return "\(answer.body.readableBytes) bytes came in place of \(expected)"
  }

  /// Removes an object, if it is there.
  public func delete(_ key: String) async throws {
    _ = try await request(.DELETE, key, accepting: [200, 204, 404])
  }

  // MARK: In parts

  /// Begins an object that is sent in parts.
  ///
  /// - Returns: its number at the server.
  func beginUpload(_ key: String) async throws -> String {
    let answer = try await request(.POST, key, query: [("uploads", "")]) { answer in
      Bucket.element("UploadId", of: answer.text) == nil ? "no upload id in the answer" : nil
    }
    let upload = Bucket.element("UploadId", of: answer.text) ?? ""
    // One whose number has not arrived would stay there for ever.
    if answer.tries > 1 { await abortUploads(of: key, except: upload) }
    return upload
  }

  /// Nothing is lost where it fails but room at the server.
  private func abortUploads(of key: String, except upload: String) async {
    let listed = try? await request(.GET, "", query: [("uploads", ""), ("prefix", key)])
    var rest = (listed?.text ?? "")[...]
    while let id = Bucket.element("UploadId", of: String(rest)), let place = rest.range(of: "</UploadId>") {
      rest = rest[place.upperBound...]
      if id != upload { try? await abortUpload(key, id) }
    }
  }

  /// - Returns: the part's tag.
  func upload(_ key: String, _ upload: String, part: Int, _ body: ByteBuffer) async throws -> String {
    let answer = try await request(
      .PUT, key, query: [("partNumber", "\(part)"), ("uploadId", upload)], body: body
    ) { $0.headers.first(name: "etag") == nil ? "no tag of the part in the answer" : nil }
    return answer.headers.first(name: "etag") ?? ""
  }

  func completeUpload(_ key: String, _ upload: String, tags: [String], byteCount: UInt64) async throws {
    let parts = tags.enumerated().map {
      "<Part><PartNumber>\($0.offset + 1)</PartNumber><ETag>\($0.element)</ETag></Part>"
    }
    let body = ByteBuffer(string: "<CompleteMultipartUpload>\(parts.joined())</CompleteMultipartUpload>")
    let answer = try await request(
      .POST, key, query: [("uploadId", upload)], body: body, accepting: [200, 404]
    ) { answer in
      // The server begins its answer before it knows the end.
      answer.status == 200 && Bucket.element("Code", of: answer.text) != nil ? Bucket.reason(answer) : nil
    }
    guard answer.status == 404 else { return }
    // An earlier try may have been the one that has completed it.
    if answer.tries > 1 {
      let head = try await request(.HEAD, key, accepting: [200, 404])
      if head.status == 200, head.headers.first(name: "content-length") == "\(byteCount)" { return }
    }
    throw BucketError(
      status: 404, description: "\(name)/\(key): the server has lost what was sent\(Bucket.reason(answer))")
  }

  func abortUpload(_ key: String, _ upload: String) async throws {
    _ = try await request(.DELETE, key, query: [("uploadId", upload)], accepting: [200, 204, 404])
  }
}
