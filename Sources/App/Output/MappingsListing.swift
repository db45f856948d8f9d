import Sluice

/// Prints the mappings of a process that lives, and how much of each is in images.
struct MappingsListing {
  let directory: String
  /// Which process of the images, by the pid in its own pid namespace.
  let namespacePid: Int32
  let json: Bool

  /// - Parameter processes: where the process is sought; nil takes the one that has the same pid here.
  /// - Returns: whether standard output took all of it.
  func print(of processes: LiveProcesses?) throws(SluiceError) -> Bool {
    let pid = processes.map { $0.pid(namespacePid: namespacePid) } ?? namespacePid
    guard let pid else { return say(.notRunning, "there is no such process in the tree") }
    let mappings: LiveMappings
    do throws(SluiceError) {
      mappings = try LiveMappings(path: directory, namespacePid: namespacePid, pid: pid)
    } catch {
      // That a process has ended, or that its pid is another's, says nothing against its images.
      guard [.notFound, .targetGone, .invalidArgument].contains(error.code) else { throw error }
      return say(.notRunning, error.message)
    }
    if case .other(let reason) = mappings.owner { return say(.another, reason) }
    let isKnown = mappings.owner == .same
    guard
      say(
        isKnown ? .same : .unknown,
        isKnown
          ? nil
          : "cannot tell whether process \(pid) (\(mappings.command)) is the process in the images",
        of: mappings)
    else { return false }
    var empty = 0
    while let mapping = try mappings.next() {
      // For people, a mapping of which there is nothing anywhere is noise.
      if !json, mapping.skipped == nil,
        mapping.pages.present + mapping.pages.inParent + mapping.pages.missing == 0
      {
        empty += 1
        continue
      }
      guard
        json
          ? Terminal.json(JoinedObject(mapping, Owner(pid: namespacePid))) : Terminal.data(text(of: mapping))
      else {
        return false
      }
    }
    if empty > 0, !Terminal.data("    and \(Counted.text(empty, "mapping")) without pages") { return false }
    guard mappings.gone > 0 || json else { return true }
    return json
      ? Terminal.json(Gone(pid: namespacePid, goneFromProcess: mappings.gone))
      : Terminal.data("    in the images, but no longer mapped: \(Counted.pages(mappings.gone))")
  }

  private enum Process: String {
    case same
    case unknown
    case another
    case notRunning = "not-running"
  }

  /// Says what there is to say of the process before its mappings.
  private func say(_ process: Process, _ reason: String?, of mappings: LiveMappings? = nil) -> Bool {
    if json {
      return Terminal.json(
        Head(
          pid: namespacePid, process: process.rawValue, hostPid: mappings?.pid, command: mappings?.command,
          reason: reason))
    }
    switch process {
    case .another, .notRunning: return Terminal.data("  pid \(namespacePid): no mappings: \(reason ?? "")")
    case .same, .unknown:
      let caution = reason.map { " (\($0))" } ?? ""
      return Terminal.data(
        "  pid \(namespacePid): mappings\(caution); pages here, in the parent, and missing:")
    }
  }

  private func text(of mapping: LiveMappings.Mapping) -> String {
    let counts =
      mapping.skipped.map { "not taken: \($0)" }
      ?? "\(mapping.pages.present) here, \(mapping.pages.inParent) in the parent, \(mapping.pages.missing) missing"
    let name = mapping.name.isEmpty ? "" : " \(mapping.name)"
    return "    \(Address.range(mapping.start, mapping.end)) \(mapping.permissions)\(name): \(counts)"
  }
}

/// What is said of a process, as JSON (in snake_case).
private struct Head: Encodable {
  /// The process, by the pid that its images are named by.
  let pid: Int32
  /// Whether the process that runs is the one in the images: same, unknown, another, or not-running.
  let process: String
  /// The pid as seen here; nil where the process does not run.
  let hostPid: Int32?
  /// The name of its program; nil where it does not run.
  let command: String?
  /// Why it is not known to be the same; nil where it is.
  let reason: String?
}

/// Which process a mapping is of, as JSON (in snake_case).
private struct Owner: Encodable {
  /// The process, by the pid that its images are named by.
  let pid: Int32
}

/// What comes after the mappings, as JSON (in snake_case).
private struct Gone: Encodable {
  /// The process, by the pid that its images are named by.
  let pid: Int32
  /// Pages in the images, or the parent's, that no mapping has any more.
  let goneFromProcess: UInt64
}
