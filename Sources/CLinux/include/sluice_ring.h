// An io_uring, as far as writing files needs one. All of it is used from one thread: the ring is made
// for a single issuer, and the kernel refuses every other thread (EEXIST).
#ifndef SLUICE_RING_H
#define SLUICE_RING_H

#include <stddef.h>
#include <stdint.h>

struct sluice_ring;

/// What became of an operation.
struct sluice_completion {
  /// The number that the operation was given.
  uint64_t token;
  /// Bytes, or -errno.
  int32_t result;
};

/// Sets up a ring with room for `entries` operations. NULL and a positive errno when the kernel has none for
/// us: ENOSYS, EPERM (kernel.io_uring_disabled, seccomp), ENOMEM, EMFILE.
struct sluice_ring *sluice_ring_open(unsigned entries, int *error);

/// Waits for nothing: every operation must have completed.
void sluice_ring_close(struct sluice_ring *ring);

/// Makes a table for `count` buffers that are registered one by one (Linux 5.19). 0 or -errno.
int sluice_ring_reserve_buffers(struct sluice_ring *ring, unsigned count);

/// Registers one buffer: the kernel pins its pages now instead of at each write. 0 or -errno: ENOMEM when
/// RLIMIT_MEMLOCK does not allow it.
int sluice_ring_register_buffer(struct sluice_ring *ring, unsigned index, void *bytes, size_t count);

/// Lets go of a buffer that was registered, and of the pages that the kernel had pinned for it.
void sluice_ring_unregister_buffer(struct sluice_ring *ring, unsigned index);

/// Queues a write. `buffer_index` names the registered buffer that `bytes` lies in; -1 for none.
/// Returns 0, or -EBUSY when the ring is full.
int sluice_ring_write(struct sluice_ring *ring, int descriptor, const void *bytes, uint32_t count,
                      uint64_t offset, int buffer_index, uint64_t token);

/// Queues a read from an eventfd, which completes once the event was signalled. 0, or -EBUSY.
int sluice_ring_await_event(struct sluice_ring *ring, int event, uint64_t token);

/// Submits what is queued and, with `wait`, sleeps until at least one operation has completed.
/// Returns 0 or -errno; EINTR and EAGAIN are dealt with inside.
int sluice_ring_submit(struct sluice_ring *ring, int wait);

/// Takes the next completion. Returns 1, or 0 when there is none at the moment.
int sluice_ring_next_completion(struct sluice_ring *ring, struct sluice_completion *completion);

/// An eventfd(2), close-on-exec, or -errno.
int sluice_eventfd(void);

/// Adds 1 to an eventfd. 0 or -errno.
int sluice_eventfd_signal(int event);

#endif
