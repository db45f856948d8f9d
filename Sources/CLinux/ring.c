#define _GNU_SOURCE
#if !__has_include(<liburing.h>)
#error "liburing is missing: install Debian's package liburing-dev"
#endif
#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "faults.h"
#include "sluice_ring.h"

// Debian 12's liburing is older than these two names; the kernel refuses what it does not know (EINVAL).
#ifndef IORING_SETUP_SINGLE_ISSUER
#define IORING_SETUP_SINGLE_ISSUER (1U << 12)
#endif
#ifndef IORING_SETUP_DEFER_TASKRUN
#define IORING_SETUP_DEFER_TASKRUN (1U << 13)
#endif

struct sluice_ring {
  struct io_uring ring;
  // Where the kernel puts the eventfd's count; nobody looks at it.
  uint64_t event_count;
};

struct sluice_ring *sluice_ring_open(unsigned entries, int *error) {
  struct sluice_ring *made = calloc(1, sizeof *made);
  if (made == NULL) {
    *error = ENOMEM;
    return NULL;
  }
  // One issuer and completions delivered when we ask for them (Linux 6.1): no interrupts between threads.
  // Older kernels do without.
  static const unsigned attempts[] = {IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN, 0};
  int result = -EINVAL;
  for (size_t i = 0; i < sizeof attempts / sizeof *attempts && result == -EINVAL; i++) {
    result = FAULTY_RESULT(SLUICE_FAULT_RING_OPEN, io_uring_queue_init(entries, &made->ring, attempts[i]));
  }
  if (result < 0) {
    *error = -result;
    free(made);
    return NULL;
  }
  return made;
}

void sluice_ring_close(struct sluice_ring *ring) {
  io_uring_queue_exit(&ring->ring);
  free(ring);
}

int sluice_ring_reserve_buffers(struct sluice_ring *ring, unsigned count) {
  return FAULTY_RESULT(SLUICE_FAULT_RING_RESERVE, io_uring_register_buffers_sparse(&ring->ring, count));
}

int sluice_ring_register_buffer(struct sluice_ring *ring, unsigned index, void *bytes, size_t count) {
  struct iovec buffer = {.iov_base = bytes, .iov_len = count};
  __u64 tag = 0;
  int updated = FAULTY_RESULT(SLUICE_FAULT_RING_REGISTER,
                              io_uring_register_buffers_update_tag(&ring->ring, index, &buffer, &tag, 1));
  return updated < 0 ? updated : 0;
}

void sluice_ring_unregister_buffer(struct sluice_ring *ring, unsigned index) {
  struct iovec none = {0};
  __u64 tag = 0;
  (void)io_uring_register_buffers_update_tag(&ring->ring, index, &none, &tag, 1);
}

int sluice_ring_write(struct sluice_ring *ring, int descriptor, const void *bytes, uint32_t count,
                      uint64_t offset, int buffer_index, uint64_t token) {
  struct io_uring_sqe *entry = io_uring_get_sqe(&ring->ring);
  if (entry == NULL) return -EBUSY;
  if (buffer_index >= 0) {
    io_uring_prep_write_fixed(entry, descriptor, bytes, count, offset, buffer_index);
  } else {
    io_uring_prep_write(entry, descriptor, bytes, count, offset);
  }
  io_uring_sqe_set_data64(entry, token);
  (void)sluice_fault_strikes(SLUICE_FAULT_RING_WRITE, NULL);
  return 0;
}

int sluice_ring_await_event(struct sluice_ring *ring, int event, uint64_t token) {
  struct io_uring_sqe *entry = io_uring_get_sqe(&ring->ring);
  if (entry == NULL) return -EBUSY;
  io_uring_prep_read(entry, event, &ring->event_count, sizeof ring->event_count, 0);
  io_uring_sqe_set_data64(entry, token);
  return 0;
}

int sluice_ring_submit(struct sluice_ring *ring, int wait) {
  for (;;) {
    int result = FAULTY_RESULT(SLUICE_FAULT_RING_ENTER, io_uring_submit_and_wait(&ring->ring, wait ? 1 : 0));
    if (result >= 0) return 0;
    // The kernel is short of memory, or of room for completions: what has completed must be taken first.
    if (result == -EAGAIN || result == -EBUSY || result == -ENOMEM) {
      if (io_uring_cq_ready(&ring->ring) > 0) return 0;
      usleep(1000);
    } else if (result != -EINTR) {
      return result;
    }
  }
}

#ifdef SLUICE_FAULTS
// The wake-up's read is left alone: nobody looks at its result.
static int32_t result_of(const struct io_uring_cqe *entry) {
  size_t written = entry->res > 0 ? (size_t)entry->res : 0;
  if (io_uring_cqe_get_data64(entry) > UINT32_MAX || entry->res < 0) return entry->res;
  return FAULTY_COUNT(SLUICE_FAULT_RING_COMPLETION, written, (int32_t)written) < 0 ? -errno : (int32_t)written;
}
#else
static int32_t result_of(const struct io_uring_cqe *entry) { return entry->res; }
#endif

int sluice_ring_next_completion(struct sluice_ring *ring, struct sluice_completion *completion) {
  struct io_uring_cqe *entry = NULL;
  if (io_uring_peek_cqe(&ring->ring, &entry) != 0 || entry == NULL) return 0;
  completion->token = io_uring_cqe_get_data64(entry);
  completion->result = result_of(entry);
  io_uring_cqe_seen(&ring->ring, entry);
  return 1;
}

int sluice_eventfd(void) {
  int event = FAULTY(SLUICE_FAULT_EVENT_OPEN, eventfd(0, EFD_CLOEXEC));
  return event < 0 ? -errno : event;
}

int sluice_eventfd_signal(int event) {
  uint64_t one = 1;
  ssize_t done = TEMP_FAILURE_RETRY(write(event, &one, sizeof one));
  return done < 0 ? -errno : 0;
}
