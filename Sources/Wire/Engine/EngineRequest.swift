internal import CSluiceImages

/// What a container engine asks of `criu swrk`, as far as it concerns pre-dumps.
public struct EngineRequest: Hashable, Sendable {
  /// What is to be done. CRIU has more kinds, and may get others.
  public struct Kind: RawRepresentable, Hashable, Sendable {
    /// The number by which CRIU knows it.
    public let rawValue: Int32

    /// Any number stands for a kind, if only for one that is not known here.
    public init(rawValue: Int32) {
      self.rawValue = rawValue
    }

    /// Nothing; also the kind of an answer to what could not be understood.
    public static let empty = Kind(rawValue: 0)
    /// The final dump.
    public static let dump = Kind(rawValue: 1)
    /// A pre-dump, after which another or the final dump may be asked for.
    public static let preDump = Kind(rawValue: 4)
    /// A page server in the background.
    public static let pageServer = Kind(rawValue: 5)
    /// A page server that is waited for (`waitForProcess`).
    public static let pageServerChild = Kind(rawValue: 12)
    /// How a process has ended that was started for an earlier request.
    public static let waitForProcess = Kind(rawValue: 11)
    /// Whether something is supported.
    public static let featureCheck = Kind(rawValue: 9)
    /// Which CRIU this is.
    public static let version = Kind(rawValue: 10)
    /// A pre-dump by itself.
    public static let singlePreDump = Kind(rawValue: 13)
  }

  /// How a pre-dump is to be made. Descriptors are those of the process that asks.
  public struct Options: Hashable, Sendable {
    /// The directory for the images.
    public var imagesDescriptor: Int32?
    /// The same by its path, for one who gives no descriptor.
    public var imagesDirectory: String?
    /// The process.
    public var pid: Int32?
    /// From 0, nothing, over 2, warnings, to 4, everything.
    public var logLevel: Int32
    /// Where messages go, in the work directory.
    public var logFile: String?
    /// The page server that the pages are to be sent to, or that is to be started.
    public var pageServer: EnginePageServer?
    /// Whether, and by which files, the connection with the page server is encrypted.
    public var tls: EngineTLS?
    /// Earlier images, relative to the directory for the images.
    public var parent: String?
    /// Whether to give back what the parent has of pages that the images have anew.
    public var dedups: Bool
    /// The directory for the log and the figures.
    public var workDescriptor: Int32?
    /// The directory of the cgroup that is to be frozen for a stop.
    public var freezeCgroup: String?
    /// For how many seconds processes may be stopped; 0 for no limit.
    public var timeout: UInt32?
    /// A configuration file, which goes before all of this.
    public var configurationFile: String?
    /// Whether messages go to standard error instead of a file.
    public var logsToStandardError: Bool
    /// The names of options that are set and that a pre-dump of memory has no use for.
    public var leftOut: [String] = []
    /// Options that are set and that are not known here, by their numbers, or that only CRIU can do, by their names.
    public var forCriu: [String] = []

    init(_ options: Sluice__RpcOptions) {
      let (images, work) = unsafe (options.images_dir_fd, options.work_dir_fd)
      imagesDescriptor = images >= 0 ? images : nil
      workDescriptor = work >= 0 ? work : nil
      imagesDirectory = unsafe Self.text(options.images_dir)
      pid = unsafe options.has_pid != 0 ? options.pid : nil
      logLevel = unsafe options.log_level
      logFile = unsafe Self.text(options.log_file)
      pageServer = unsafe options.ps.map { unsafe EnginePageServer($0.pointee) }
      tls = unsafe EngineTLS(options)
      // An empty one is a mistake, and not the wish for none.
      parent = unsafe options.parent_img.map { unsafe String(cString: $0) }
      dedups = unsafe options.auto_dedup != 0
      freezeCgroup = unsafe Self.text(options.freeze_cgroup)
      timeout = unsafe options.has_timeout != 0 ? options.timeout : nil
      configurationFile = unsafe Self.text(options.config_file)
      logsToStandardError = unsafe options.log_to_stderr != 0
      if unsafe options.lazy_pages != 0 { forCriu.append("lazy_pages") }
      if unsafe options.leave_stopped != 0 { forCriu.append("leave_stopped") }
      for index in unsafe 0..<Int(options.base.n_unknown_fields) {
        let number = unsafe options.base.unknown_fields[index].tag
        if let known = EngineOption.leftOut.first(where: { $0.number == number }) {
          if !leftOut.contains(known.name) { leftOut.append(known.name) }
        } else {
          forCriu.append("\(number)")
        }
      }
    }

    static func text(_ string: UnsafePointer<CChar>?) -> String? {
      guard let string = unsafe string else { return nil }
      let text = unsafe String(cString: string)
      return text.isEmpty ? nil : text
    }
  }

  /// What is to be done.
  public var kind: Kind
  /// How, where it is a pre-dump.
  public var options: Options?
  /// Whether further requests follow.
  public var keepsOpen: Bool
  /// What is asked about, where it is a question for features.
  public var features: EngineFeatures?
  /// The process that is to be waited for.
  public var pid: Int32?

  /// Reads a packet.
  ///
  /// - Returns: nil when it is no request.
  public init?(packet: [UInt8]) {
    let request = unsafe packet.withUnsafeBytes { bytes in
      unsafe ProtobufMessage.unpack(bytes, like: Sluice__RpcRequest.blank) { unsafe EngineRequest($0) }
    }
    guard let request else { return nil }
    self = request
  }

  private init(_ request: Sluice__RpcRequest) {
    unsafe kind = Kind(rawValue: request.type)
    unsafe options = request.opts.map { unsafe Options($0.pointee) }
    unsafe keepsOpen = request.keep_open != 0
    unsafe features = request.features.map { unsafe EngineFeatures($0.pointee) }
    unsafe pid = request.has_pid != 0 ? Int32(exactly: request.pid) : nil
  }
}

/// What an engine may want to know whether it is supported. Nil is what it does not ask about, and what is not answered.
public struct EngineFeatures: Hashable, Sendable {
  /// The kernel tells which pages were written, so that dumps can build on pre-dumps.
  public var tracksMemory: Bool?
  /// Restored processes can get their pages when they need them.
  public var lazyPages: Bool?
  /// Descriptors of processes can be kept from dump to dump.
  public var storesPidfds: Bool?

  /// Nothing asked, nothing answered.
  public init() {}

  init(_ features: Sluice__RpcFeatures) {
    unsafe tracksMemory = features.has_mem_track != 0 ? features.mem_track != 0 : nil
    unsafe lazyPages = features.has_lazy_pages != 0 ? features.lazy_pages != 0 : nil
    unsafe storesPidfds = features.has_pidfd_store != 0 ? features.pidfd_store != 0 : nil
  }

  var message: Sluice__RpcFeatures {
    var message = unsafe Sluice__RpcFeatures.blank
    if let tracksMemory { unsafe (message.has_mem_track, message.mem_track) = (1, tracksMemory ? 1 : 0) }
    if let lazyPages { unsafe (message.has_lazy_pages, message.lazy_pages) = (1, lazyPages ? 1 : 0) }
    if let storesPidfds { unsafe (message.has_pidfd_store, message.pidfd_store) = (1, storesPidfds ? 1 : 0) }
    return unsafe message
  }
}
