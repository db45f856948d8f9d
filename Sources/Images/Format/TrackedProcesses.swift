internal import CSluiceImages

/// The contents of tracked.img: whose writes are tracked since these images were made. With it the next round
/// knows for sure what CRIU's inventory can only make likely: that it has the same processes before it.
public struct TrackedProcesses: Hashable, Sendable {
  /// One of the processes.
  public struct Process: Hashable, Sendable {
    /// The pid in the process' own pid namespace.
    public let pid: Int32
    /// When it started, in clock ticks since the machine did.
    public let startTime: UInt64

    /// A process.
    public init(pid: Int32, startTime: UInt64) {
      self.pid = pid
      self.startTime = startTime
    }
  }

  /// More than this are not read: one of them takes descriptors of a run, and there are not so many.
  static let most = 1 << 17

  /// Of /proc/sys/kernel/random/boot_id.
  public let bootID: String
  /// The processes, in the order of their pagemaps.
  public let processes: [Process]

  /// These processes, since that start of the machine.
  public init(bootID: String, processes: [Process]) {
    self.bootID = bootID
    self.processes = processes
  }

  /// The bytes of tracked.img.
  func encoded() -> [UInt8] {
    var text = Array(bootID.utf8CString)
    return unsafe text.withUnsafeMutableBufferPointer { text in
      var head = unsafe Sluice__TrackedHead.blank
      unsafe head.boot_id = text.baseAddress
      var bytes = unsafe Records.file(
        magics: [ImageFormat.commonMagic, ImageFormat.trackedMagic], message: head)
      for process in processes {
        var record = unsafe Sluice__TrackedTask.blank
        unsafe record.pid = UInt32(bitPattern: process.pid)
        unsafe record.start_time = process.startTime
        bytes += unsafe Records.file(magics: [], message: record)
      }
      return bytes
    }
  }

  /// Reads tracked.img.
  init(reading reader: inout RecordReader) throws(ImagesError) {
    reader.maker = "Sluice"
    try reader.expect(magics: [ImageFormat.commonMagic, ImageFormat.trackedMagic])
    let bootID = try unsafe reader.next(like: Sluice__TrackedHead.blank) {
      unsafe String(cString: $0.boot_id)
    }
    guard let bootID else { throw reader.malformed("it has no first record") }
    var processes: [Process] = []
    while let process = try unsafe reader.next(
      like: Sluice__TrackedTask.blank,
      body: { unsafe Process(pid: Int32(bitPattern: $0.pid), startTime: $0.start_time) })
    {
      guard processes.count < Self.most else {
        throw reader.malformed("it has more than \(Self.most) processes")
      }
      processes.append(process)
    }
    self.init(bootID: bootID, processes: processes)
  }
}
