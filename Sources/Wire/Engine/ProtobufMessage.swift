internal import CSluiceImages

/// A message of protobuf-c, between its C struct and its bytes.
///
/// protobuf-c generates a set of functions for each kind of message, which all do their work through the
/// descriptor that a message begins with; so one packer here serves every kind.
package enum ProtobufMessage {
  /// The bytes of a message by itself.
  package static func bytes<Message>(of message: Message) -> [UInt8] {
    unsafe withUnsafePointer(to: message) { pointer in
      unsafe pointer.withMemoryRebound(to: ProtobufCMessage.self, capacity: 1) { base in
        let size = unsafe protobuf_c_message_get_packed_size(base)
        return unsafe [UInt8](unsafeUninitializedCapacity: size) { room, count in
          // With no bytes there is no room, and nothing to write.
          count = unsafe room.baseAddress.map { unsafe protobuf_c_message_pack(base, $0) } ?? 0
        }
      }
    }
  }

  /// Takes a message apart that is of the kind of `blank`; `body` sees it while it exists.
  ///
  /// - Returns: nil when the bytes are no such message.
  package static func unpack<Message, Result>(
    _ bytes: UnsafeRawBufferPointer, like blank: Message, body: (Message) -> Result
  ) -> Result? {
    let descriptor = unsafe withUnsafePointer(to: blank) {
      unsafe $0.withMemoryRebound(to: ProtobufCMessage.self, capacity: 1) { unsafe $0.pointee.descriptor }
    }
    let message = unsafe protobuf_c_message_unpack(
      descriptor, nil, bytes.count, bytes.baseAddress?.assumingMemoryBound(to: UInt8.self))
    guard let message = unsafe message else { return nil }
    defer { unsafe protobuf_c_message_free_unpacked(message, nil) }
    return unsafe message.withMemoryRebound(to: Message.self, capacity: 1) { unsafe body($0.pointee) }
  }
}
