internal import CSluiceZstd

/// Makes frames of zstd's, one at a time.
@safe
struct ZstdCompressor: ~Copyable {
  private let handle: OpaquePointer

  /// - Parameter level: one of zstd's, from 1 up.
  /// - Throws: `SluiceError` with `system` where there is no zstd or no memory.
  init(level: Int) throws(SluiceError) { unsafe handle = try unsafe Self.make(level: level) }

  private static func make(level: Int) throws(SluiceError) -> OpaquePointer {
    var made: OpaquePointer?
    let result = unsafe sluice_zstd_compressor_make(Int32(level), &made)
    guard result == 0, let made = unsafe made else { throw SluiceError(zstd: result, "compressing") }
    return unsafe made
  }

  deinit { unsafe sluice_zstd_compressor_free(handle) }

  /// The memory that the library has for it now, in bytes.
  var byteCount: Int { unsafe sluice_zstd_compressor_bytes(handle) }

  /// Makes one frame of the first bytes of `bytes`.
  ///
  /// - Returns: its length.
  func compress(_ bytes: [UInt8], count: Int, into frame: inout [UInt8]) throws(SluiceError) -> Int {
    let result = unsafe bytes.withUnsafeBytes { bytes in
      unsafe frame.withUnsafeMutableBytes { frame in
        unsafe sluice_zstd_compress(handle, frame.baseAddress, frame.count, bytes.baseAddress, count)
      }
    }
    guard result >= 0 else { throw SluiceError(zstd: Int32(result), "compressing") }
    return result
  }

  /// As long as a frame of so many bytes can get: what cannot be compressed is stored, in blocks of 128 KiB, with 3 bytes for
  /// each (the format's description), and the library wants some more room to try in.
  static func bound(of count: Int) -> Int { count + count / 256 + 256 }

  /// The levels that there are here. Above these a thread has more than 16 MiB for the library alone.
  static let levels = 1...9

  /// More than the library has for a compressor of a level, in bytes, with frames of 4 MiB at most: what 1.5.4 had, and some.
  static func memory(level: Int) -> Int {
    switch level {
    case ...2: 1 << 20
    case 3: 3 << 19
    case 4: 3 << 20
    case 5...6: 4 << 20
    case 7...8: 7 << 20
    default: 14 << 20
    }
  }
}

/// Expands frames of zstd's.
@safe
struct ZstdExpander: ~Copyable {
  private let handle: OpaquePointer

  /// - Parameter longestWindow: the logarithm of the longest window that a stream of frames may need.
  /// - Throws: `SluiceError` with `system` where there is no zstd or no memory.
  init(longestWindow: Int) throws(SluiceError) {
    unsafe handle = try unsafe Self.make(longestWindow: longestWindow)
  }

  private static func make(longestWindow: Int) throws(SluiceError) -> OpaquePointer {
    var made: OpaquePointer?
    let result = unsafe sluice_zstd_expander_make(UInt32(longestWindow), &made)
    guard result == 0, let made = unsafe made else { throw SluiceError(zstd: result, "expanding") }
    return unsafe made
  }

  deinit { unsafe sluice_zstd_expander_free(handle) }

  /// The memory that the library has for one beside its window, and more than that.
  static let memory = 512 << 10

  /// Expands one frame, which the first bytes of `frame` are.
  ///
  /// - Returns: the length of its content.
  /// - Throws: `SluiceError` with `malformedImages`.
  func expand(
    _ frame: [UInt8], count: Int, into bytes: inout [UInt8], called name: String
  ) throws(SluiceError) -> Int {
    let result = unsafe frame.withUnsafeBytes { frame in
      unsafe bytes.withUnsafeMutableBytes { bytes in
        unsafe sluice_zstd_expand(handle, bytes.baseAddress, bytes.count, frame.baseAddress, count)
      }
    }
    guard result >= 0 else { throw SluiceError(zstd: Int32(result), "expanding \(name)") }
    return result
  }

  /// How far a part of a stream was expanded.
  struct Part {
    /// Bytes that came of it.
    var made = 0
    /// Bytes that were used of the stream.
    var used = 0
    /// Whether a frame ends there.
    var isEnd = false
  }

  /// Expands a part of a stream of frames.
  ///
  /// - Throws: `SluiceError` with `malformedImages`.
  func expand(
    _ stream: [UInt8], in range: Range<Int>, into bytes: inout [UInt8], called name: String
  ) throws(SluiceError) -> Part {
    var (made, used) = (0, 0)
    let result = unsafe stream.withUnsafeBytes { stream in
      unsafe bytes.withUnsafeMutableBytes { bytes in
        unsafe sluice_zstd_expand_part(
          handle, bytes.baseAddress, bytes.count, &made,
          stream.baseAddress.map { unsafe $0 + range.lowerBound },
          range.count, &used)
      }
    }
    guard result >= 0 else { throw SluiceError(zstd: result, "expanding \(name)") }
    return Part(made: made, used: used, isEnd: result == 0)
  }
}

extension SluiceError {
  /// What the library says of what it was given.
  fileprivate init(zstd result: Int32, _ doing: String) {
    switch sluice_zstd_error(rawValue: result) {
    case SLUICE_ZSTD_ABSENT: self.init(.system, "this build of sluice has no zstd")
    case SLUICE_ZSTD_NOT_INSTALLED:
      self.init(
        .system,
        "zstd is missing, which compresses and expands cores: install libzstd1, version 1.4 or later")
    case SLUICE_ZSTD_NO_MEMORY: self.init(.system, "\(doing): zstd could not get memory")
    case SLUICE_ZSTD_WINDOW_TOO_LONG:
      self.init(
        .invalidArgument,
        "\(doing): the frames need more memory than the budget: use a larger --memory-budget")
    case SLUICE_ZSTD_DAMAGED:
      self.init(
        .malformedImages, "\(doing): the data is not in the format of zstd, is damaged, or ends too early")
    case SLUICE_ZSTD_NO_ROOM: self.init(.malformedImages, "\(doing): a frame is longer than it says")
    default: self.init(.system, "\(doing): zstd failed")
    }
  }
}
