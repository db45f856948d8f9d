internal import CSluiceLinux
internal import CSluiceTLS
internal import SluiceSystem

/// What is in a file with certificates or a key. Nothing of it stays in memory.
@safe
struct CredentialFile: ~Copyable {
  /// How it is called in messages.
  let title: String
  private var memory: UnsafeMutableRawBufferPointer
  private var count = 0

  /// The lists of authorities with many revoked certificates have some megabytes; whatever is longer is a mistake, such as
  /// /dev/zero.
  private static let limit = 64 << 20

  /// Reads a file, or what else the user has named, such as a pipe.
  ///
  /// - Parameter kind: what should be in it, such as "private key".
  init(_ kind: String, path: String) throws(TLSError) {
    title = "the \(kind) \(path)"
    unsafe memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 << 10, alignment: 1)
    let opened = unsafe sluice_open_at(sluice_current_directory(), path, SLUICE_OPEN_READ)
    guard opened >= 0 else { throw failure(returned: opened) }
    let descriptor = Descriptor(owning: opened)
    while true {
      if unsafe count == memory.count { try grow() }
      let done = unsafe sluice_read(descriptor.number, memory.baseAddress! + count, memory.count - count)
      guard done >= 0 else { throw failure(returned: done) }
      if done == 0 { return }
      count += done
    }
  }

  /// The same, of a file that need not be there, nor be one that we may read.
  static func ifReadable(_ kind: String, path: String) throws(TLSError) -> CredentialFile? {
    do throws(TLSError) {
      return try CredentialFile(kind, path: path)
    } catch {
      guard let name = error.errno?.name, ["ENOENT", "ENOTDIR", "EACCES"].contains(name) else { throw error }
      return nil
    }
  }

  deinit {
    unsafe Self.free(memory)
  }

  private static func free(_ memory: UnsafeMutableRawBufferPointer) {
    unsafe sluice_tls_wipe(memory.baseAddress, memory.count)
    unsafe memory.deallocate()
  }

  private mutating func grow() throws(TLSError) {
    guard unsafe memory.count < Self.limit else {
      throw TLSError(.file, "\(title) has more than \(Self.limit >> 20) MiB")
    }
    let larger = unsafe UnsafeMutableRawBufferPointer.allocate(byteCount: memory.count * 2, alignment: 1)
    unsafe larger.copyMemory(from: UnsafeRawBufferPointer(memory))
    unsafe Self.free(memory)
    unsafe memory = unsafe larger
  }

  private func failure(returned result: some SignedInteger) -> TLSError {
    TLSError(.file, "reading \(title)", errno: SystemErrno(returned: result))
  }

  /// Gives GnuTLS what is in it.
  func give<Result>(to body: (UnsafeRawPointer?, Int) -> Result) -> Result {
    unsafe body(UnsafeRawPointer(memory.baseAddress), count)
  }
}
