public import CSluiceLinux

extension RingExecutor {
  /// Whether the kernel gives us an io_uring: one is set up as for a pre-dump, and closed again.
  ///
  /// - Returns: the kernel's reason when it does not; nil when it does.
  public static func reasonUnavailable() -> SystemErrno? {
    let pageSize = Int(sluice_page_size())
    let buffers: BufferRing
    do throws(BufferRing.MappingFailed) {
      buffers = try BufferRing(layout: BufferLayout(count: 1, chunkBytes: pageSize, pageSize: pageSize))
    } catch {
      return error.errno
    }
    do throws(Unavailable) {
      try RingExecutor(name: "sluice-check", depth: 1, buffers: buffers).shutdown()
      return nil
    } catch {
      return error.errno
    }
  }
}
