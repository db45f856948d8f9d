// A process that crashes, and the program that the kernel gives its core to.
//
//   core-target crash THREADS    fills some memory, says "ready", and crashes when a line comes to standard input
//   core-target take DIRECTORY   reads a core from standard input: its beginning, then, when there is a file DIRECTORY/go,
//                                the rest; writes how much came and how much it should have been into DIRECTORY/size
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

enum { MEMORY_BYTES = 8 << 20, LOOK_US = 1000 };

static _Noreturn void die(const char *what) {
  fprintf(stderr, "core-target: %s: %s\n", what, strerror(errno));
  exit(1);
}

static void *wait_for_ever(void *unused) {
  for (;;) pause();
  return unused;
}

static _Noreturn void crash(unsigned threads) {
  // 1 would be taken for the sign of a program that crashed while it took a core.
  struct rlimit all = {RLIM_INFINITY, RLIM_INFINITY};
  if (setrlimit(RLIMIT_CORE, &all) != 0) die("setrlimit");
  char *memory = mmap(NULL, MEMORY_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) die("mmap");
  memset(memory, 1, MEMORY_BYTES);
  for (unsigned at = 1; at < threads; at++) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, wait_for_ever, NULL) != 0) die("pthread_create");
  }
  // Without the C library's buffers, which are on the heap: gdb shows text there as arguments of its functions, and a core
  // of the stacks alone has no heap.
  char byte;
  if (write(STDOUT_FILENO, "ready\n", 6) != 6 || read(STDIN_FILENO, &byte, 1) < 0) die("ready");
  abort();
}

// The end of the last segment.
static uint64_t expected_size(const char *start) {
  const Elf64_Ehdr *header = (const void *)start;
  uint64_t end = 0;
  for (unsigned at = 0; at < header->e_phnum; at++) {
    const Elf64_Phdr *segment = (const void *)(start + header->e_phoff + at * sizeof *segment);
    if (segment->p_offset + segment->p_filesz > end) end = segment->p_offset + segment->p_filesz;
  }
  return end;
}

static size_t read_all(char *bytes, size_t length) {
  size_t got = 0;
  while (got < length) {
    ssize_t more = read(STDIN_FILENO, bytes + got, length - got);
    if (more <= 0) break;
    got += (size_t)more;
  }
  return got;
}

static void take(const char *directory) {
  static char bytes[1 << 16];
  if (chdir(directory) != 0) die(directory);
  uint64_t size = read_all(bytes, sizeof bytes), expected = expected_size(bytes);
  while (access("go", F_OK) != 0) usleep(LOOK_US);
  for (size_t got; (got = read_all(bytes, sizeof bytes)) > 0;) size += got;
  FILE *file = fopen("size.new", "w");
  if (file == NULL || fprintf(file, "%llu of %llu", (unsigned long long)size, (unsigned long long)expected) < 0 ||
      fclose(file) != 0 || rename("size.new", "size") != 0)
    die("size");
}

int main(int count, char **arguments) {
  if (count == 3 && strcmp(arguments[1], "crash") == 0) crash((unsigned)atoi(arguments[2]));
  if (count != 3 || strcmp(arguments[1], "take") != 0) {
    fputs("usage: core-target crash THREADS | take DIRECTORY\n", stderr);
    return 2;
  }
  take(arguments[2]);
  return 0;
}
