internal import CSluiceLinux
import Glibc
internal import SluiceSystem

/// Processes of a tree that go by soft-dirty bits themselves, as some collectors of garbage and checkpointers do: who
/// clears the bits hides writes from all others who look at them.
///
/// What tells is an open /proc/PID/clear_refs or pagemap of a process of the tree among the descriptors of one. What is
/// opened for a moment only, or by a process outside, is not seen.
public struct SoftDirtyUsers: Sendable {
  /// One that was found.
  public struct User: Hashable, Sendable {
    /// The process that has the file open.
    public let holder: Int32
    /// The process that it is of.
    public let pid: Int32
    /// "clear_refs" or "pagemap".
    public let file: String
  }

  /// Those that were found, one for each process that files are of.
  public private(set) var users: [User] = []

  private static let files = ["clear_refs", "pagemap"]

  /// Looks at the descriptors of these processes.
  ///
  /// - Throws: `TargetError` when they cannot be listed. One that has ended has none.
  public init(among processes: [TargetProcess]) throws(TargetError) {
    for holder in processes {
      do throws(TargetError) {
        for file in Self.files {
          for number in try Self.numbers(in: holder, named: file) {
            for process in processes where try Self.isOf(process, number) {
              add(holder.pid, process.pid, file)
            }
          }
        }
      } catch {
        guard error.code == .gone else { throw error }
      }
    }
  }

  private mutating func add(_ holder: Int32, _ pid: Int32, _ file: String) {
    guard !users.contains(where: { $0.pid == pid }) else { return }
    users.append(User(holder: holder, pid: pid, file: file))
  }

  /// The numbers of processes and threads whose file of that name a process has open: pids of the namespace that its
  /// /proc is of.
  private static func numbers(in holder: TargetProcess, named file: String) throws(TargetError) -> Set<Int32>
  {
    let directory = "/proc/\(holder.pid)/fd"
    let descriptors: OpenDescriptors
    do throws(ProcFile.OpenFailed) {
      descriptors = try OpenDescriptors(of: holder.pid, linkedTo: "/\(file)", byEnding: true)
    } catch {
      throw holder.failure(of: "listing \(directory)", errno: error.errno)
    }
    var numbers = Set<Int32>()
    for descriptor in descriptors.numbers {
      // Closed meanwhile, or a file of that name that is another's.
      guard unsafe sluice_is_of_proc("\(directory)/\(descriptor)") == 1,
        let link = try? SymbolicLink.text(
          of: "\(directory)/\(descriptor)", called: "\(directory)/\(descriptor)"),
        let number = number(in: link)
      else { continue }
      numbers.insert(number)
    }
    return numbers
  }

  /// That of "/proc/4711/clear_refs" and "/proc/4711/task/4712/clear_refs", wherever that /proc is mounted: "self" is
  /// not in a link, for it is one itself. Of a task of a process, which has the same memory, it is the task's.
  static func number(in link: String) -> Int32? {
    link.split(separator: "/").dropLast().last.flatMap { Int32($0) }
  }

  /// Whether a number is that of a process or one of its threads, in any of the pid namespaces that it is in.
  private static func isOf(_ process: TargetProcess, _ number: Int32) throws(TargetError) -> Bool {
    let directory = "/proc/\(process.pid)"
    do throws(ProcFile.OpenFailed) {
      let pids = try StatusLines(ofProcessAt: directory).namespacePids
      if pids.contains(number) { return true }
      if number != process.pid, unsafe access("\(directory)/task/\(number)", F_OK) == 0 { return true }
      guard pids.count > 1 else { return false }
    } catch {
      throw process.failure(of: "reading \(directory)/status", errno: error.errno)
    }
    for thread in try ThreadList(of: process).all() {
      // One that has ended has no number any more.
      let status = try? StatusLines(ofProcessAt: "\(directory)/task/\(thread)")
      if status?.namespacePids.contains(number) == true { return true }
    }
    return false
  }
}
