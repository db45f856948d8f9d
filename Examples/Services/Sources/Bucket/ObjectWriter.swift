import NIOCore

/// Writes one object of any length in parts, some of which are on their way at once, in a memory that does not grow:
/// `partBytes` for each of those, and for the one that is being filled.
///
/// Of one task, or one actor.
public final class ObjectWriter {
  /// The name of the object.
  public let key: String
  private let bucket: Bucket
  private let partBytes: Int
  private let concurrency: Int
  private var part = ByteBuffer()
  private var upload: String?
  private var tags: [Task<String, any Error>] = []
  /// Parts before this one have arrived.
  private var arrived = 0
  /// The length so far.
  public private(set) var byteCount: UInt64 = 0

  /// More are refused by S3.
  public static let mostParts = 10_000
  /// Smaller ones are refused by S3 (but for the last); each costs a request.
  public static let leastPartBytes = 8 << 20

  /// The size of parts for an object that may become twice as long as is expected.
  public static func partBytes(expecting expected: UInt64) -> Int {
    let needed = Int(clamping: 2 * expected / UInt64(mostParts))
    return max(leastPartBytes, (needed + (1 << 20) - 1) / (1 << 20) * (1 << 20))
  }

  /// - Parameters:
  ///   - partBytes: of each part at least; it is longer by as much as is added at once.
  ///   - concurrency: how many parts are on their way at most, beside the one that is being filled.
  public init(_ bucket: Bucket, key: String, partBytes: Int, concurrency: Int) {
    self.bucket = bucket
    self.key = key
    self.partBytes = partBytes
    self.concurrency = max(1, concurrency)
  }

  /// Adds bytes; `flush` must be called before long.
  public func add(_ bytes: RawSpan) {
    if part.readableBytes == 0, bytes.byteCount > 4096 { part.reserveCapacity(partBytes + (1 << 20)) }
    bytes.withUnsafeBytes { _ = part.writeBytes($0) }
    byteCount += UInt64(bytes.byteCount)
  }

  /// The same for a number, with its lowest byte first.
  public func add(_ number: UInt64) {
    part.writeInteger(number, endianness: .little)
    byteCount += 8
  }

  /// Sends a part, if there is one. Where as many are on their way as may be, it waits for the oldest.
  ///
  /// - Throws: what a part has failed with.
  public func flush() async throws {
    if part.readableBytes >= partBytes { try await sendPart() }
  }

  private func sendPart() async throws {
    guard tags.count < Self.mostParts else {
      throw BucketError(
        status: nil, description: "\(key): \(Self.mostParts) parts of \(partBytes >> 20) MiB are not enough")
    }
    let upload: String
    if let begun = self.upload { upload = begun } else { upload = try await bucket.beginUpload(key) }
    self.upload = upload
    while tags.count - arrived >= concurrency {
      _ = try await tags[arrived].value
      arrived += 1
    }
    let (bucket, key, number, body) = (bucket, key, tags.count + 1, part)
    part = ByteBuffer()
    tags.append(Task { try await bucket.upload(key, upload, part: number, body) })
  }

  /// Ends the object: it is there then.
  public func finish() async throws {
    guard upload != nil else {
      try await bucket.put(key, part)
      part = ByteBuffer()
      return
    }
    if part.readableBytes > 0 { try await sendPart() }
    var known: [String] = []
    for tag in tags { known.append(try await tag.value) }
    if let upload { try await bucket.completeUpload(key, upload, tags: known, byteCount: byteCount) }
    upload = nil
  }

  /// Gives the object up: nothing is left of it at the server, as far as that answers.
  public func abort() async {
    for tag in tags { tag.cancel() }
    // A part that arrives after the abort would stay there for ever.
    for tag in tags { _ = await tag.result }
    tags = []
    part = ByteBuffer()
    if let upload {
      let (bucket, key) = (bucket, key)
      // Whoever aborts may be cancelled, which this is not.
      await Task { try? await bucket.abortUpload(key, upload) }.value
    }
    upload = nil
  }
}
