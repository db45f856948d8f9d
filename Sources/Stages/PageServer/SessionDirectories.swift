internal import Glibc
internal import SluiceImages
internal import SluicePipeline
internal import SluiceSystem
internal import SluiceWire

/// The directories of a server's sessions, and which builds on which.
final class SessionDirectories: Sendable {
  private struct State: Sendable {
    /// The sessions of each client that are complete, the newest last.
    var complete: [String: [String]] = [:]
    /// The lowest number that may be free, for each name.
    var next: [String: Int] = [:]
  }

  /// Sessions of a client that are looked through for earlier images. Who makes more chains than that at once has them begin
  /// anew, with a copy of everything.
  private static let mostRemembered = 64
  /// Clients that are remembered.
  private static let mostClients = 4096

  private let configuration: PageServer.Configuration
  private let name: String
  private let state = Locked(State())

  /// - Parameter name: of a directory, with `{client}`, `{number}` and `{time}`.
  /// - Throws: `SluiceError`: `invalidArgument` for a name that leads elsewhere, or is the same for all sessions.
  init(_ configuration: PageServer.Configuration, name: String) throws(SluiceError) {
    guard name.contains("{number}") else {
      throw SluiceError(
        .invalidArgument,
        "the name of sessions '\(name)' must contain {number}, or two sessions would have the same")
    }
    guard !name.hasPrefix("."), !name.contains("/") else {
      throw SluiceError(
        .invalidArgument,
        "the name of sessions '\(name)' must be the name of a directory, without '/' and not hidden")
    }
    self.configuration = configuration
    self.name = name
    try onImages { () throws(ImagesError) in try UnfinishedImages.makeDirectory(at: configuration.directory) }
  }

  /// Where the pages of a session go, and what they build on.
  ///
  /// - Parameter client: who has come; any text.
  /// - Throws: `SluiceError`.
  func place(of client: String) throws(SluiceError) -> SessionRun.Place {
    let name = self.name.replacing("{client}", with: Self.fileName(client)).replacing(
      "{time}", with: "\(time(nil))")
    return SessionRun.Place(
      directory: try take(name),
      parent: SessionParent { (object) throws(SluiceError) in try self.parent(having: object, of: client) })
  }

  /// The pages of a session are valid.
  func published(_ directory: String, of client: String) {
    state.withLock { state in
      if state.complete.count >= Self.mostClients, state.complete[client] == nil {
        state.complete.removeAll()
      }
      var known = state.complete[client] ?? []
      known.append(directory)
      if known.count > Self.mostRemembered { known.removeFirst() }
      state.complete[client] = known
    }
  }

  /// Takes the first directory of that name that is free.
  private func take(_ name: String) throws(SluiceError) -> String {
    while true {
      let directory = state.withLock { state in
        let number = state.next[name] ?? 1
        if state.next.count >= Self.mostClients { state.next.removeAll() }
        state.next[name] = number + 1
        return "\(configuration.directory)/\(name.replacing("{number}", with: "\(number)"))"
      }
      // What is there is another session's, of this server or of one before it.
      do throws(SystemError) { _ = try DirectoryHandle(path: directory) } catch {
        guard error.code == .missing else { throw SluiceError(error, .cannotCreate) }
        return directory
      }
    }
  }

  /// The newest session of a client that has an object.
  private func parent(
    having object: PageServerObject, of client: String
  ) throws(SluiceError) -> ParentImages? {
    let known = state.withLock { $0.complete[client] ?? [] }
    for (index, directory) in known.enumerated().reversed() {
      do throws(ImagesError) {
        let images = try ParentImages(path: directory, trust: Trust(everybody: configuration.trustsParents))
        if try images.has(pagemap: object.pagemapName) { return images }
      } catch {
        guard error.code == .noSuchDirectory else { throw SluiceError(error) }
        // It was taken away, and may have been the newest one of that object: those before it lack what it had. A client
        // that is told of no earlier images sends everything.
        state.withLock { $0.complete[client]?.removeAll { known[...index].contains($0) } }
        return nil
      }
    }
    return nil
  }

  /// A text as a part of a file's name.
  private static func fileName(_ text: String) -> String {
    let name = String(
      text.unicodeScalars.prefix(128).map { scalar in
        let isPlain =
          scalar.isASCII
          && (scalar.properties.isAlphabetic || ("0"..."9").contains(scalar)
            || ".-_".unicodeScalars.contains(scalar))
        return isPlain ? Character(scalar) : "_"
      })
    return name.hasPrefix(".") ? "_" + name.dropFirst() : name
  }
}
