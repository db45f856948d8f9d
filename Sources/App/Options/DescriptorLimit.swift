import Glibc

/// How many descriptors this program may have open (RLIMIT_NOFILE).
enum DescriptorLimit {
  /// Raises the limit to what is permitted without asking: a process that is copied takes some ten descriptors, and the
  /// usual limit of 1024, which is for the sake of programs that use select(2), ends with a tree of a hundred.
  ///
  /// - Returns: what it was before; nil when the kernel does not tell.
  @discardableResult
  static func raise() -> rlimit? {
    var limit = rlimit()
    guard unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return nil }
    let former = limit
    limit.rlim_cur = limit.rlim_max
    // Where it is refused, the one there is may be enough; if not, it is told where it was not.
    set(limit)
    return former
  }

  /// Makes it what it was, for a program that is executed in our place.
  static func set(_ limit: rlimit?) {
    guard var limit else { return }
    _ = unsafe setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
  }
}
