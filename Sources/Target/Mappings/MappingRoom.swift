internal import CSluiceLinux
import Glibc

/// How many mappings a process may have (vm.max_map_count), and how many of these it should have left where its memory is
/// registered for write protection: memory that it maps beside registered memory is a mapping of its own, which otherwise
/// might have become a part of another. When none is left, the kernel refuses the process any further mapping.
public struct MappingRoom: Hashable, Sendable {
  /// The most mappings that the kernel lets a process have.
  public let limit: Int

  /// The kernel's limit before anybody changes it (include/linux/mm.h, DEFAULT_MAX_MAP_COUNT).
  private static let usualLimit = 65530

  init(limit: Int) {
    self.limit = limit
  }

  /// As the kernel has it now. Where /proc/sys is not there, as in some containers, the limit is taken for the usual one.
  ///
  /// - Throws: `TargetError` when it is there and cannot be read.
  public init() throws(TargetError) {
    let path = "/proc/sys/vm/max_map_count"
    do throws(ProcFile.OpenFailed) {
      let text = try ProcFile.text(ofFileAt: path)
      self.init(limit: Int(text.prefix { $0.isNumber }) ?? Self.usualLimit)
    } catch {
      guard error.errno.code == ENOENT else {
        throw TargetError(.systemCall, "reading \(path)", errno: error.errno)
      }
      self.init(limit: Self.usualLimit)
    }
  }

  /// How many mappings a process has.
  ///
  /// - Throws: `TargetError` when they cannot be listed.
  public static func count(of process: TargetProcess) throws(TargetError) -> Int {
    var map = MemoryMap(of: process)
    var count = 0
    // The kernel's own, above all that a process can have, is not counted by it.
    while let vma = try map.next() {
      if vma.name != "[vsyscall]" { count += 1 }
    }
    return count
  }

  /// Whether the protection of a process may begin that has so many mappings: an eighth of the limit is left to it.
  public func allowsBeginning(with mappings: Int) -> Bool { mappings <= limit - limit / 8 }

  /// Whether the protection may go on: a sixteenth of the limit is left.
  public func allowsGoingOn(with mappings: Int) -> Bool { mappings <= limit - limit / 16 }
}
