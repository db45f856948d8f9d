import Glibc
import SluiceWire

/// The directories that an engine asks for work in, and the log.
struct EnginePlace {
  /// The directory of the images.
  let images: String
  /// The directory of the log and the figures; nil where it is that of the images.
  let work: String?
  /// The file that messages go to; nil for standard error.
  let log: String?
  /// Descriptors that these paths go by, which are held until the process ends.
  let descriptors: [Int32]

  /// As CRIU calls it where the engine does not say.
  private static let logName = "criu.log"

  /// - Parameter engine: the process whose descriptors are spoken of.
  /// - Throws: `EngineAnswer.Failure` when it cannot be meant.
  init(_ options: EngineRequest.Options, engine: Int32) throws(EngineAnswer.Failure) {
    var descriptors: [Int32] = []
    func path(_ descriptor: Int32, _ what: String) throws(EngineAnswer.Failure) -> String {
      let opened = try Self.directory(descriptor, of: engine, what)
      descriptors.append(opened)
      return "/proc/self/fd/\(opened)"
    }
    if let descriptor = options.imagesDescriptor {
      images = try path(descriptor, "images")
    } else if let path = options.imagesDirectory {
      images = path
    } else {
      throw EngineAnswer.Failure(errno: EINVAL, message: "the request names no directory for the images")
    }
    work = try options.workDescriptor.map { descriptor throws(EngineAnswer.Failure) in
      try path(descriptor, "work")
    }
    let name = options.logFile ?? Self.logName
    log = options.logsToStandardError ? nil : name.hasPrefix("/") ? name : "\(work ?? images)/\(name)"
    self.descriptors = descriptors
  }

  /// A directory that the engine has open: the descriptor stays one, and it is the engine's directory whatever becomes of
  /// its path.
  private static func directory(
    _ descriptor: Int32, of engine: Int32, _ what: String
  ) throws(EngineAnswer.Failure) -> Int32 {
    let link = "/proc/\(engine)/fd/\(descriptor)"
    var opened = stat()
    guard unsafe stat(link, &opened) == 0 else {
      let error = errno
      throw EngineAnswer.Failure(
        errno: error,
        message:
          "the \(what) directory is to be descriptor \(descriptor) of process \(engine), which cannot be looked"
          + " at: \(CommandFailure.text(error))")
    }
    guard opened.st_mode & S_IFMT == S_IFDIR else {
      throw EngineAnswer.Failure(
        errno: ENOTDIR,
        message:
          "the \(what) directory is to be descriptor \(descriptor) of process \(engine), which is no directory"
      )
    }
    let ours = unsafe open(link, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard ours >= 0 else {
      let error = errno
      throw EngineAnswer.Failure(
        errno: error,
        message:
          "opening the \(what) directory, descriptor \(descriptor) of process \(engine): \(CommandFailure.text(error))"
      )
    }
    // Held until the process ends, which makes this one pre-dump or a few.
    return ours
  }
}
