import CSluiceLinux
import Glibc
import SluiceTestSupport

extension Faults {
  /// The sites of sluice_faults.h.
  enum Site: UInt32, CaseIterable, Sendable {
    case open, openIfAllowed, read, pread, write, pwrite, fsync, flush, truncate, allocate
    case startWriteback, finishWriteback, dropCache, fileSystem, fileStatus
    case makeDirectory, rename, unlink, readLink, makeLink, lock, listDirectory
    case processRead, pagemapScan, mappingQuery, leaveLock
    case mapBuffers, protectBuffers, unmapBuffers, preferNode, nodesOfPages, ownPage, ownPagemap, hiddenMemory
    case pidfdOpen, pidfdPoll, compareMemory, listThreads, trace, reaperStart, guardStart, userfault,
      startThread, eventOpen
    case ringOpen, ringReserve, ringRegister, ringEnter, ringWrite, ringCompletion

    /// Errors that do not go away by trying again.
    var lastingErrors: [Int32] {
      switch self {
      case .open, .openIfAllowed: [EMFILE, ENFILE, EACCES, ENOMEM, EIO]
      case .read: [EIO, ENOMEM]
      case .pread, .write, .fileSystem, .fileStatus, .readLink, .dropCache: [EIO]
      case .pwrite, .ringCompletion: [EIO, ENOSPC, EDQUOT, EFBIG]
      case .flush: [EIO, ENOSPC, EDQUOT]
      case .fsync, .truncate, .startWriteback, .finishWriteback, .allocate: [EIO, ENOSPC]
      case .makeDirectory: [EACCES, ENOSPC, EROFS]
      case .rename: [EIO, ENOSPC]
      case .unlink: [EIO, EACCES]
      case .makeLink: [EACCES, ENOSPC]
      case .lock: [EAGAIN, ENOLCK]
      case .listDirectory: [EMFILE, ENOMEM]
      case .processRead: [EPERM, ENOMEM]
      case .pagemapScan, .mappingQuery: [ENOMEM, EIO]
      case .mapBuffers, .protectBuffers, .ownPage: [ENOMEM]
      case .ownPagemap, .pidfdOpen, .eventOpen: [EMFILE, ENOMEM]
      case .pidfdPoll, .listThreads: [ENOMEM]
      case .compareMemory: [EPERM, ENOSYS]
      case .preferNode, .nodesOfPages: [EPERM, ENOSYS]
      case .trace: [EPERM, EIO]
      case .reaperStart: [EAGAIN, ENOMEM]
      case .guardStart: [EMFILE, ENOMEM]
      case .userfault: [ENOMEM, EBUSY]
      case .ringOpen: [ENOSYS, EPERM, ENOMEM]
      case .ringReserve, .ringRegister: [ENOMEM, EINVAL]
      case .ringEnter: [EIO]
      case .startThread: [EAGAIN]
      // They cannot fail, or nothing depends on it here.
      case .unmapBuffers, .leaveLock, .hiddenMemory, .ringWrite: []
      }
    }

    /// Errors that say no more than: try again, or try another way.
    var passingErrors: [Int32] {
      switch self {
      case .open, .openIfAllowed, .read, .pread, .write, .pwrite, .fsync, .flush, .truncate, .pagemapScan,
        .mappingQuery,
        .pidfdPoll:
        [EINTR]
      case .processRead: [EFAULT]
      case .ringEnter: [EINTR, EAGAIN, EBUSY, ENOMEM]
      case .ringCompletion: [EINTR, EAGAIN]
      default: []
      }
    }

    /// Whether a run may go on and succeed although a call here has failed: there is another way, or nothing
    /// depends on it.
    var hasAnotherWay: Bool {
      switch self {
      // Without a thread for the ring there may be some that write.
      case .ringOpen, .ringReserve, .ringRegister, .eventOpen, .startThread: true
      // What cannot be watched is copied whole.
      case .userfault: true
      // What cannot be placed is where the kernel likes.
      case .preferNode, .nodesOfPages: true
      // What may share its memory with another is copied, and not watched.
      case .compareMemory: true
      // Whether the filesystem is memory only decides whether its cache is dropped.
      case .fileSystem: true
      // What is not allocated ahead, the writes allocate.
      case .allocate: true
      // Filesystems without locks do without.
      case .lock: true
      // A kernel without the ioctl has /proc/PID/pagemap; without the query, the whole list of mappings.
      case .pagemapScan: true
      // A page that cannot be read in either way is looked at again, for it may have gone and come back.
      case .pread: true
      // What an interrupted run left is removed first; what this one has made, at its failure.
      case .unlink: true
      default: false
      }
    }

    /// Fewer bytes than were asked for, such as this call can really give; nil where it never does.
    func shortCount(of count: Int, using random: inout SplitMix) -> Int? {
      let pageSize = Int(sluice_page_size())
      switch self {
      // The kernel goes page by page.
      case .pread, .processRead:
        return count > pageSize ? Int.random(in: 1...(count - 1) / pageSize, using: &random) * pageSize : nil
      // Direct I/O goes by the blocks of the disk.
      case .pwrite where count >= pageSize:
        return Int.random(in: 1..<count / 512, using: &random) * 512
      case .read, .pwrite:
        return count > 1 ? Int.random(in: 1..<count, using: &random) : nil
      case .ringCompletion:
        return count > 1 ? Int.random(in: 0..<count, using: &random) : nil
      default:
        return nil
      }
    }
  }
}
