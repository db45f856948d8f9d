internal import CSluiceImages

/// The records of an image: a 32-bit length, then a protobuf message.
enum Records {
  /// Writes the record of a message at the start of `room`.
  ///
  /// - Returns: its bytes, or nil when there is no room for it.
  static func pack<Message>(_ message: Message, into room: UnsafeMutableRawBufferPointer) -> Int? {
    let prefix = MemoryLayout<UInt32>.size
    return unsafe withUnsafePointer(to: message) { pointer in
      unsafe pointer.withMemoryRebound(to: ProtobufCMessage.self, capacity: 1) { base in
        let size = unsafe protobuf_c_message_get_packed_size(base)
        guard prefix + size <= room.count else { return nil }
        unsafe room.storeBytes(of: UInt32(size).littleEndian, as: UInt32.self)
        let body = unsafe room.baseAddress!.assumingMemoryBound(to: UInt8.self) + prefix
        return unsafe prefix + protobuf_c_message_pack(base, body)
      }
    }
  }

  /// A whole small image: its magic numbers and one record.
  static func file<Message>(magics: [UInt32], message: Message) -> [UInt8] {
    let head = magics.flatMap { unsafe withUnsafeBytes(of: $0.littleEndian, Array.init) }
    var record = [UInt8](repeating: 0, count: ImageFormat.longestRecord)
    let size = unsafe record.withUnsafeMutableBytes { unsafe pack(message, into: $0) }
    guard let size else { preconditionFailure("the records of small images have a few dozen bytes") }
    return head + record[..<size]
  }

  /// The number of a field that the message came with and its kind does not have; nil where there is none.
  ///
  /// - Parameter harmless: fields that may be there all the same.
  static func unknownField<Message>(of message: Message, besides harmless: [ClosedRange<UInt32>]) -> UInt32? {
    unsafe withUnsafePointer(to: message) { pointer in
      unsafe pointer.withMemoryRebound(to: ProtobufCMessage.self, capacity: 1) { base in
        let fields = unsafe UnsafeBufferPointer(
          start: base.pointee.unknown_fields, count: Int(base.pointee.n_unknown_fields))
        let numbers = unsafe fields.map { unsafe $0.tag }
        return numbers.first { number in !harmless.contains { $0.contains(number) } }
      }
    }
  }

  /// Whether a message has no more fields than that, those within its fields not counted.
  ///
  /// By protobuf's encoding: each begins with a number whose low three bits say how long it is.
  ///
  /// - Returns: also false where that cannot be told.
  static func hasFields(atMost most: Int, _ message: ArraySlice<UInt8>) -> Bool {
    var (position, count) = (message.startIndex, 0)
    func number() -> UInt64? {
      var (value, shift): (UInt64, UInt64) = (0, 0)
      while position < message.endIndex, shift < 64 {
        let byte = message[position]
        position += 1
        value |= UInt64(byte & 0x7f) << shift
        if byte & 0x80 == 0 { return value }
        shift += 7
      }
      return nil
    }
    while position < message.endIndex {
      guard let tag = number() else { return false }
      var length: UInt64 = 0
      switch tag & 7 {
      case 0: guard number() != nil else { return false }
      case 1: length = 8
      case 2:
        guard let told = number() else { return false }
        length = told
      case 5: length = 4
      default: return false
      }
      guard length <= UInt64(message.endIndex - position) else { return false }
      position += Int(length)
      count += 1
      guard count <= most else { return false }
    }
    return true
  }
}

// A message must know its descriptor before anything is done with it.

extension Sluice__InventoryEntry {
  static var blank: Self {
    var message = unsafe Self()
    unsafe sluice__inventory_entry__init(&message)
    return unsafe message
  }
}

extension Sluice__PagemapHead {
  static var blank: Self {
    var message = unsafe Self()
    unsafe sluice__pagemap_head__init(&message)
    return unsafe message
  }
}

extension Sluice__PagemapEntry {
  static var blank: Self {
    var message = unsafe Self()
    unsafe sluice__pagemap_entry__init(&message)
    return unsafe message
  }
}

extension Sluice__TrackedHead {
  static var blank: Self {
    var message = unsafe Self()
    unsafe sluice__tracked_head__init(&message)
    return unsafe message
  }
}

extension Sluice__TrackedTask {
  static var blank: Self {
    var message = unsafe Self()
    unsafe sluice__tracked_task__init(&message)
    return unsafe message
  }
}

extension Sluice__DeduplicatedEntry {
  static var blank: Self {
    var message = unsafe Self()
    unsafe sluice__deduplicated_entry__init(&message)
    return unsafe message
  }
}

extension Sluice__SessionEntry {
  static var blank: Self {
    var message = unsafe Self()
    unsafe sluice__session_entry__init(&message)
    return unsafe message
  }
}

extension Sluice__SentEntry {
  static var blank: Self {
    var message = unsafe Self()
    unsafe sluice__sent_entry__init(&message)
    return unsafe message
  }
}

extension Sluice__DumpStatsEntry {
  static var blank: Self {
    var message = unsafe Self()
    unsafe sluice__dump_stats_entry__init(&message)
    return unsafe message
  }
}

extension Sluice__StatsEntry {
  static var blank: Self {
    var message = unsafe Self()
    unsafe sluice__stats_entry__init(&message)
    return unsafe message
  }
}

extension Sluice__ProcessEntry {
  static var blank: Self {
    var message = unsafe Self()
    unsafe sluice__process_entry__init(&message)
    return unsafe message
  }
}

extension Sluice__CoreEntry {
  static var blank: Self {
    var message = unsafe Self()
    unsafe sluice__core_entry__init(&message)
    return unsafe message
  }
}

extension Sluice__MemoryEntry {
  static var blank: Self {
    var message = unsafe Self()
    unsafe sluice__memory_entry__init(&message)
    return unsafe message
  }
}

extension Sluice__RegularFileEntry {
  static var blank: Self {
    var message = unsafe Self()
    unsafe sluice__regular_file_entry__init(&message)
    return unsafe message
  }
}

extension Sluice__FileEntry {
  static var blank: Self {
    var message = unsafe Self()
    unsafe sluice__file_entry__init(&message)
    return unsafe message
  }
}

extension Sluice__MemoryInodeEntry {
  static var blank: Self {
    var message = unsafe Self()
    unsafe sluice__memory_inode_entry__init(&message)
    return unsafe message
  }
}
