// Faults for tests: a way to make system calls fail, come short or take their time. Only debug builds have it
// (SLUICE_FAULTS in Package.swift); in release builds these functions do not exist and the calls are bare.
#ifndef SLUICE_FAULTS_H
#define SLUICE_FAULTS_H

#include <stddef.h>
#include <stdint.h>

/// A place where this module calls the kernel.
enum sluice_fault_site {
  SLUICE_FAULT_OPEN = 0,
  /// Opening what we need not be allowed to read.
  SLUICE_FAULT_OPEN_IF_ALLOWED,
  SLUICE_FAULT_READ,
  SLUICE_FAULT_PREAD,
  SLUICE_FAULT_WRITE,
  SLUICE_FAULT_PWRITE,
  SLUICE_FAULT_FSYNC,
  /// Closing a descriptor of a file that was written.
  SLUICE_FAULT_FLUSH,
  SLUICE_FAULT_TRUNCATE,
  SLUICE_FAULT_ALLOCATE,
  SLUICE_FAULT_START_WRITEBACK,
  SLUICE_FAULT_FINISH_WRITEBACK,
  SLUICE_FAULT_DROP_CACHE,
  SLUICE_FAULT_FILE_SYSTEM,
  SLUICE_FAULT_FILE_STATUS,
  SLUICE_FAULT_MAKE_DIRECTORY,
  SLUICE_FAULT_RENAME,
  SLUICE_FAULT_UNLINK,
  SLUICE_FAULT_READ_LINK,
  SLUICE_FAULT_MAKE_LINK,
  SLUICE_FAULT_LOCK,
  SLUICE_FAULT_LIST_DIRECTORY,
  SLUICE_FAULT_PROCESS_READ,
  SLUICE_FAULT_PAGEMAP_SCAN,
  SLUICE_FAULT_MAPPING_QUERY,
  /// Leaving the mmap_lock of a process alone for a while: it can be counted here.
  SLUICE_FAULT_LEAVE_LOCK,
  /// The buffers' memory. The kernel is asked for it once, and gets it back once: it can be counted here.
  SLUICE_FAULT_MAP_BUFFERS,
  SLUICE_FAULT_PROTECT_BUFFERS,
  SLUICE_FAULT_UNMAP_BUFFERS,
  /// What the kernel is told and asked of nodes (NUMA); never where there is one.
  SLUICE_FAULT_PREFER_NODE,
  SLUICE_FAULT_NODES_OF_PAGES,
  /// The pages of our own with which the kernel is tried.
  SLUICE_FAULT_OWN_PAGE,
  SLUICE_FAULT_OWN_PAGEMAP,
  /// Reading memory that a process itself may not read: the trial with a page of our own.
  SLUICE_FAULT_HIDDEN_MEMORY,
  SLUICE_FAULT_PIDFD_OPEN,
  SLUICE_FAULT_PIDFD_POLL,
  SLUICE_FAULT_COMPARE_MEMORY,
  SLUICE_FAULT_LIST_THREADS,
  /// Beginning to trace a thread, and telling it to stop.
  SLUICE_FAULT_TRACE,
  /// Starting the thread that takes note of the end of others.
  SLUICE_FAULT_REAPER,
  SLUICE_FAULT_GUARD,
  /// What is asked of a userfaultfd.
  SLUICE_FAULT_USERFAULT,
  SLUICE_FAULT_START_THREAD,
  SLUICE_FAULT_EVENT_OPEN,
  SLUICE_FAULT_RING_OPEN,
  SLUICE_FAULT_RING_RESERVE,
  SLUICE_FAULT_RING_REGISTER,
  SLUICE_FAULT_RING_ENTER,
  /// Beginning a write, which cannot fail: it can be counted here.
  SLUICE_FAULT_RING_WRITE,
  /// The result of a write, when its completion is taken.
  SLUICE_FAULT_RING_COMPLETION,
  SLUICE_FAULT_CONNECT,
  SLUICE_FAULT_ACCEPT,
  SLUICE_FAULT_RECEIVE,
  SLUICE_FAULT_SEND,
  SLUICE_FAULT_SITE_COUNT,
};

/// Decides what becomes of a call: 0 lets it go on, an errno makes it fail without having happened. `count`,
/// where there is one, is how many bytes are asked for (or, of a completion, were written), and may be made
/// less. Whoever wants a delay waits before returning. Called on whatever thread makes the call.
typedef int32_t (*sluice_fault_handler)(enum sluice_fault_site site, size_t *count);

/// Says who decides; NULL lets all calls go on.
void sluice_set_fault_handler(sluice_fault_handler handler);

#endif
