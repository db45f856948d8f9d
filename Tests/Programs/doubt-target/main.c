// doubt-target: changes its memory in one of the ways that could make a tracker call a changed page clean.
//
//   doubt-target NAME
//
// It makes an area of pages, answers "ok", and for each line on standard input changes some of them in the way of that
// name, and answers "ok" again, or "failed TEXT". Without a name it prints all of them. It ends when its input does.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGES = 2048, SOME = 24, HUGE_SIZE = 2 << 20 };
// What the headers of an older system lack.
enum { COLLAPSE = 25, GUARD_INSTALL = 102, GUARD_REMOVE = 103 };
#ifndef UFFDIO_MOVE
struct uffdio_move {
  uint64_t dst, src, len, mode;
  int64_t move;
};
#define UFFDIO_MOVE _IOWR(UFFDIO, 0x05, struct uffdio_move)
#endif

static size_t page_size;
static char *area, *other; // each of PAGES, the second not populated
static unsigned char generation = 1;

static char *page(char *base, size_t number) { return base + number * page_size; }

static _Noreturn void fail(const char *what) {
  printf("failed %s: %s\n", what, strerror(errno));
  fflush(stdout);
  exit(1);
}

static void must(bool done, const char *what) {
  if (!done) fail(what);
}

static void write_page(char *address) {
  memset(address, generation, page_size);
  *(char **)(void *)address = address;
}

static void write_some(char *base, size_t first) {
  for (size_t at = 0; at < SOME; at++) write_page(page(base, first + 3 * at));
}

static void write_all(char *base) {
  for (size_t at = 0; at < PAGES; at++) write_page(page(base, at));
}

static char *map(size_t pages, int advice) {
  char *start = mmap(NULL, pages * page_size + HUGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  must(start != MAP_FAILED, "mmap");
  start = (char *)(((uintptr_t)start + HUGE_SIZE - 1) / HUGE_SIZE * HUGE_SIZE);
  madvise(start, pages * page_size, advice);
  return start;
}

// A process that is another's, does something to this one, and ends.
static void by_another(void (*act)(pid_t)) {
  pid_t target = getpid(), child = fork();
  must(child >= 0, "fork");
  if (child == 0) {
    act(target);
    _exit(0);
  }
  int status;
  must(waitpid(child, &status, 0) == child && status == 0, "what another process does");
}

// --- the ways

static void plainly(void) { write_some(area, 5); }

static void given_up(void) {
  must(madvise(page(area, 40), 20 * page_size, MADV_DONTNEED) == 0, "MADV_DONTNEED");
  write_page(page(area, 44));
  (void)*(volatile char *)page(area, 46);
}

static void freed(void) {
  must(madvise(page(area, 40), 20 * page_size, MADV_FREE) == 0, "MADV_FREE");
  write_page(page(area, 44));
}

static void cold(void) {
  write_some(area, 5);
  must(madvise(area, 100 * page_size, MADV_COLD) == 0, "MADV_COLD");
}

static void paged_out(void) {
  write_some(area, 5);
  must(madvise(area, 100 * page_size, MADV_PAGEOUT) == 0, "MADV_PAGEOUT");
}

// Pages that somebody has protected are not made a huge one (EINVAL): every other time none is, for all were written.
static void collapsed(void) {
  // What was a huge page is small ones again.
  must(madvise(page(area, 300), page_size, MADV_DONTNEED) == 0, "MADV_DONTNEED");
  write_some(area, 5);
  if (generation % 2 == 0)
    for (size_t at = 0; at < HUGE_SIZE / page_size; at++) write_page(page(area, at));
  must(madvise(area, HUGE_SIZE, MADV_HUGEPAGE) == 0, "MADV_HUGEPAGE");
  madvise(area, HUGE_SIZE, COLLAPSE);
  write_some(area, 105);
}

static void split(void) {
  write_page(page(area, 7));
  must(mprotect(page(area, 100), 8 * page_size, PROT_READ) == 0, "mprotect");
  must(mprotect(page(area, 100), 8 * page_size, PROT_READ | PROT_WRITE) == 0, "mprotect");
  must(madvise(page(area, 512), 16 * page_size, MADV_DONTNEED) == 0, "MADV_DONTNEED");
  write_some(area, 505);
}

static void wiped_for_children(void) {
  must(madvise(area, 64 * page_size, MADV_WIPEONFORK) == 0, "MADV_WIPEONFORK");
  write_some(area, 5);
  must(madvise(area, 64 * page_size, MADV_KEEPONFORK) == 0, "MADV_KEEPONFORK");
}

// Since Linux 6.13.
static void guarded(void) {
  if (madvise(page(area, 40), 8 * page_size, GUARD_INSTALL) == 0)
    must(madvise(page(area, 44), 4 * page_size, GUARD_REMOVE) == 0, "MADV_GUARD_REMOVE");
  write_page(page(area, 46));
}

// Since Linux 6.10; sealed memory is written as ever.
static void sealed(void) {
#ifdef SYS_mseal
  syscall(SYS_mseal, page(area, 40), 8 * page_size, 0);
#else
  syscall(462, page(area, 40), 8 * page_size, 0);
#endif
  write_some(area, 30);
}

static void moved(void) {
  write_some(area, 5);
  must(mremap(area, 512 * page_size, 512 * page_size, MREMAP_MAYMOVE | MREMAP_FIXED, other) == other, "mremap");
  must(mmap(area, 512 * page_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == area, "mmap");
  write_some(area, 50);
}

static void moved_and_left(void) {
  write_some(area, 5);
  void *to = mremap(area, 256 * page_size, 256 * page_size, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);
  must(to != MAP_FAILED, "mremap");
  write_some(area, 50);
}

// Three mappings at once, since Linux 6.17.
static void several_moved(void) {
  must(mprotect(page(area, 64), 64 * page_size, PROT_READ) == 0, "mprotect");
  write_some(area, 130);
  if (mremap(area, 256 * page_size, 256 * page_size, MREMAP_MAYMOVE | MREMAP_FIXED, other) == other)
    must(mmap(area, 256 * page_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == area, "mmap");
  else
    must(mprotect(page(area, 64), 64 * page_size, PROT_READ | PROT_WRITE) == 0, "mprotect");
  write_some(area, 5);
}

static void grown_and_shrunk(void) {
  write_some(area, 1500);
  must(munmap(page(area, 2000), 48 * page_size) == 0, "munmap");
  void *grown = mremap(area, 2000 * page_size, PAGES * page_size, MREMAP_MAYMOVE);
  must(grown != MAP_FAILED, "mremap");
  area = grown;
  write_page(page(area, 2010));
}

static void brk_moved(void) {
  static char *start;
  if (!start) start = sbrk((intptr_t)(64 * page_size));
  must(start != (void *)-1, "sbrk");
  char *first = (char *)(((uintptr_t)start + page_size - 1) / page_size * page_size);
  for (int at = 0; at < 60; at++) write_page(page(first, (size_t)at));
  must(sbrk(-(intptr_t)(32 * page_size)) != (void *)-1, "sbrk down");
  must(sbrk((intptr_t)(32 * page_size)) != (void *)-1, "sbrk up");
  write_page(page(first, 50));
}

static void deepen(int depth) {
  volatile char frame[4096];
  memset((char *)frame, generation, sizeof frame);
  if (depth > 0) deepen(depth - 1);
  if (frame[0] != (char)generation) fail("the stack");
}

static void stack_grown(void) { deepen(40 + 20 * (generation % 16)); }

static void write_to(pid_t target) {
  write_page(other);
  for (size_t at = 0; at < SOME; at++) {
    struct iovec from = {other, page_size}, to = {page(area, 5 + 3 * at), page_size};
    if (process_vm_writev(target, &from, 1, &to, 1, 0) != (ssize_t)page_size) _exit(1);
  }
}

static void written_by_another(void) { by_another(write_to); }

static void write_to_mem(pid_t target) {
  char path[32];
  snprintf(path, sizeof path, "/proc/%d/mem", (int)target);
  int file = open(path, O_RDWR);
  write_page(other);
  for (size_t at = 0; at < SOME; at++)
    if (pwrite(file, other, page_size, (off_t)(uintptr_t)page(area, 5 + 3 * at)) != (ssize_t)page_size) _exit(1);
  // Not even the process itself may write here.
  if (pwrite(file, other, 64, (off_t)(uintptr_t)page(area, 600)) != 64) _exit(1);
}

static void written_by_mem(void) {
  must(mprotect(page(area, 600), page_size, PROT_READ) == 0, "mprotect");
  by_another(write_to_mem);
}

static void poke(pid_t target) {
  // Whoever stops it for a round traces it meanwhile.
  while (ptrace(PTRACE_SEIZE, target, 0, 0) != 0) {
    if (errno != EPERM) _exit(1);
    usleep(1000);
  }
  if (ptrace(PTRACE_INTERRUPT, target, 0, 0) != 0) _exit(1);
  int status;
  if (waitpid(target, &status, __WALL) != target) _exit(1);
  for (size_t at = 0; at < SOME; at++)
    if (ptrace(PTRACE_POKEDATA, target, page(area, 5 + 3 * at), (long)generation << 32) != 0) _exit(1);
  ptrace(PTRACE_DETACH, target, 0, 0);
}

static void poked(void) { by_another(poke); }

// A page that a child has, too, is not paged out: the other process is one that shares the memory.
static int advise(void *target) {
  int process = (int)syscall(SYS_pidfd_open, *(pid_t *)target, 0);
  struct iovec range = {area, 100 * page_size};
  syscall(SYS_process_madvise, process, &range, 1, MADV_PAGEOUT, 0);
  syscall(SYS_process_madvise, process, &range, 1, MADV_COLD, 0);
  return close(process);
}

static void advised_by_another(void) {
  pid_t target = getpid();
  write_some(area, 5);
  pid_t child = clone(advise, page(other, 64), CLONE_VM | CLONE_VFORK | SIGCHLD, &target);
  int status;
  must(child > 0 && waitpid(child, &status, __WALL) == child && status == 0, "what another process does");
  write_some(area, 50);
}

static void after_fork(void) {
  int go[2];
  must(pipe(go) == 0, "pipe");
  pid_t child = fork();
  must(child >= 0, "fork");
  if (child == 0) {
    char byte;
    write_some(area, 50);
    _exit(read(go[0], &byte, 1) == 1 ? 0 : 1);
  }
  write_some(area, 5);
  must(write(go[1], "", 1) == 1, "write");
  must(waitpid(child, NULL, 0) == child, "waitpid");
  // Alone again: the page is not copied any more.
  write_some(area, 50);
  close(go[0]);
  close(go[1]);
}

static int write_and_end(void *unused) {
  (void)unused;
  write_some(area, 5);
  return 0;
}

// As vfork, and a process that shares all memory.
static void by_a_sharer(void) {
  pid_t child = clone(write_and_end, page(other, 64), CLONE_VM | CLONE_VFORK | SIGCHLD, NULL);
  must(child > 0 && waitpid(child, NULL, __WALL) == child, "clone");
  child = clone(write_and_end, page(other, 64), CLONE_VM | SIGCHLD, NULL);
  must(child > 0 && waitpid(child, NULL, __WALL) == child, "clone");
}

static void locked(void) {
  write_some(area, 5);
  if (mlock(area, 128 * page_size) == 0) munlock(area, 128 * page_size);
}

static void through_pipes(void) {
  int ends[2];
  must(pipe(ends) == 0, "pipe");
  write_page(page(area, 1));
  struct iovec gift = {page(area, 1), page_size};
  must(vmsplice(ends[1], &gift, 1, SPLICE_F_GIFT) == (ssize_t)page_size, "vmsplice");
  write_page(page(area, 1));
  must(read(ends[0], page(area, 3), page_size) == (ssize_t)page_size, "read");
  close(ends[0]);
  close(ends[1]);
}

static void read_from_a_file(void) {
  FILE *file = tmpfile();
  must(file && fwrite(page(area, 9), page_size, 1, file) == 1 && fflush(file) == 0, "writing a file");
  must(pread(fileno(file), page(area, 3), page_size, 0) == (ssize_t)page_size, "pread");
  fclose(file);
}

static int userfault;

// Before anybody else watches this memory: whoever comes second is refused (EBUSY).
static void register_userfault(void) {
  userfault = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
  struct uffdio_api api = {.api = UFFD_API};
  must(userfault >= 0 && ioctl(userfault, UFFDIO_API, &api) == 0, "userfaultfd");
  struct uffdio_register range = {
      .range = {(uintptr_t)other, 512 * page_size}, .mode = UFFDIO_REGISTER_MODE_MISSING};
  must(ioctl(userfault, UFFDIO_REGISTER, &range) == 0, "UFFDIO_REGISTER");
}

// Its own userfaultfd, whose pages nobody else can have watched: they are put there, and moved.
static void put_by_userfault(void) {
  must(madvise(other, 16 * page_size, MADV_DONTNEED) == 0, "MADV_DONTNEED");
  write_some(area, 5);
  for (size_t at = 0; at < 8; at++) {
    struct uffdio_copy copy = {
        .dst = (uintptr_t)page(other, at), .src = (uintptr_t)page(area, 5 + 3 * at), .len = page_size};
    must(ioctl(userfault, UFFDIO_COPY, &copy) == 0, "UFFDIO_COPY");
  }
  struct uffdio_move move = {.dst = (uintptr_t)page(other, 8), .src = (uintptr_t)page(area, 700), .len = page_size};
  write_page(page(area, 700));
  // Linux 6.8; nothing is there before.
  ioctl(userfault, UFFDIO_MOVE, &move);
}

static const struct {
  const char *name;
  void (*change)(void);
  int advice; // of the area
} WAYS[] = {
    {"plainly", plainly, MADV_NOHUGEPAGE},
    {"given-up", given_up, MADV_NOHUGEPAGE},
    {"given-up-huge", given_up, MADV_HUGEPAGE},
    {"freed", freed, MADV_NOHUGEPAGE},
    {"cold", cold, MADV_NOHUGEPAGE},
    {"paged-out", paged_out, MADV_NOHUGEPAGE},
    {"collapsed", collapsed, MADV_NOHUGEPAGE},
    {"split", split, MADV_HUGEPAGE},
    {"wiped-for-children", wiped_for_children, MADV_NOHUGEPAGE},
    {"guarded", guarded, MADV_NOHUGEPAGE},
    {"sealed", sealed, MADV_NOHUGEPAGE},
    {"moved", moved, MADV_NOHUGEPAGE},
    {"moved-huge", moved, MADV_HUGEPAGE},
    {"moved-and-left", moved_and_left, MADV_NOHUGEPAGE},
    {"several-moved", several_moved, MADV_NOHUGEPAGE},
    {"grown-and-shrunk", grown_and_shrunk, MADV_NOHUGEPAGE},
    {"brk-moved", brk_moved, MADV_NOHUGEPAGE},
    {"stack-grown", stack_grown, MADV_NOHUGEPAGE},
    {"written-by-another", written_by_another, MADV_NOHUGEPAGE},
    {"written-by-mem", written_by_mem, MADV_NOHUGEPAGE},
    {"poked", poked, MADV_NOHUGEPAGE},
    {"advised-by-another", advised_by_another, MADV_NOHUGEPAGE},
    {"after-fork", after_fork, MADV_NOHUGEPAGE},
    {"after-fork-huge", after_fork, MADV_HUGEPAGE},
    {"by-a-sharer", by_a_sharer, MADV_NOHUGEPAGE},
    {"locked", locked, MADV_NOHUGEPAGE},
    {"through-pipes", through_pipes, MADV_NOHUGEPAGE},
    {"read-from-a-file", read_from_a_file, MADV_NOHUGEPAGE},
    {"put-by-userfault", put_by_userfault, MADV_NOHUGEPAGE},
};

static void answer(void) {
  puts("ok");
  fflush(stdout);
}

int main(int count, char **arguments) {
  page_size = (size_t)sysconf(_SC_PAGESIZE);
  const size_t ways = sizeof WAYS / sizeof *WAYS;
  for (size_t at = 0; at < ways; at++) {
    if (count < 2) puts(WAYS[at].name);
    if (count < 2 || strcmp(arguments[1], WAYS[at].name) != 0) continue;
    area = map(PAGES, WAYS[at].advice);
    other = map(PAGES, WAYS[at].advice);
    write_all(area);
    if (WAYS[at].change == put_by_userfault) register_userfault();
    answer();
    char line[64];
    while (fgets(line, sizeof line, stdin)) {
      generation++;
      WAYS[at].change();
      answer();
    }
    return 0;
  }
  return count < 2 ? 0 : 2;
}
