// A process with a single request of an io_uring under way, which ends when something comes to standard input, or early
// if something is wrong.
//
//   ring-target worker   the request waits in a worker of the kernel's, and the program's own thread sleeps
//   ring-target enter    the program's own thread waits in io_uring_enter
//
// Says "waits", and in the end what io_uring_enter returned and what the request came to.
#define _GNU_SOURCE
#include <errno.h>
#include <linux/io_uring.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { LONGEST = 64, LOOK_US = 1000 };

static _Noreturn void die(const char *what) {
  fprintf(stderr, "ring-target: %s: %s\n", what, strerror(errno));
  exit(1);
}

static long enter(int ring, unsigned submitted, unsigned completed) {
  long result = syscall(SYS_io_uring_enter, ring, submitted, completed, IORING_ENTER_GETEVENTS, NULL, 0);
  return result < 0 ? -errno : result;
}

int main(int count, char **arguments) {
  bool in_worker = count == 2 && strcmp(arguments[1], "worker") == 0;
  if (!in_worker && (count != 2 || strcmp(arguments[1], "enter") != 0)) {
    fputs("usage: ring-target worker|enter\n", stderr);
    return 2;
  }
  struct io_uring_params parameters = {0};
  int ring = (int)syscall(SYS_io_uring_setup, 1, &parameters), ends[2];
  if (ring < 0 || pipe(ends) != 0) die("io_uring_setup");
  size_t submission_bytes = parameters.sq_off.array + parameters.sq_entries * sizeof(unsigned);
  size_t completion_bytes = parameters.cq_off.cqes + parameters.cq_entries * sizeof(struct io_uring_cqe);
  char *submissions = mmap(NULL, submission_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQ_RING);
  char *completions = mmap(NULL, completion_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_CQ_RING);
  struct io_uring_sqe *entry = mmap(NULL, sizeof *entry, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQES);
  if (submissions == MAP_FAILED || completions == MAP_FAILED || entry == MAP_FAILED) die("mapping an io_uring");

  static char bytes[LONGEST];
  // What waits for a pipe in the middle of a splice is nothing that the kernel could poll for: so a worker waits.
  if (in_worker)
    *entry = (struct io_uring_sqe){
        .opcode = IORING_OP_SPLICE, .flags = IOSQE_ASYNC, .fd = ends[1], .off = -1ULL, .splice_fd_in = 0,
        .splice_off_in = -1ULL, .len = LONGEST};
  else
    *entry = (struct io_uring_sqe){.opcode = IORING_OP_READ, .fd = 0, .off = -1ULL, .addr = (uintptr_t)bytes, .len = LONGEST};
  *(unsigned *)(submissions + parameters.sq_off.array) = 0;
  atomic_store((_Atomic unsigned *)(void *)(submissions + parameters.sq_off.tail), 1);
  if (enter(ring, 1, 0) != 1) die("io_uring_enter");
  puts("waits");
  fflush(stdout);

  long result = 0;
  _Atomic unsigned *completed = (void *)(completions + parameters.cq_off.tail);
  if (in_worker)
    while (atomic_load(completed) == 0) usleep(LOOK_US);
  else
    result = enter(ring, 0, 1);
  const struct io_uring_cqe *completion = (void *)(completions + parameters.cq_off.cqes);
  printf("io_uring_enter %ld, the request %d\n", result, atomic_load(completed) == 0 ? 0 : completion->res);
  return 0;
}
