// core-compare: compares an ELF core with the memory of the stopped process that it is of, byte by byte; for guests, where
// there is no more than a C library. It shares no code with what writes cores.
//
//   core-compare PID CORE
//
// Writes a line: "bytes=N differing=N segments=N threads=N nonzero=OFFSET", the last being where in the file the first byte
// is that is not zero in a writable segment. Exit codes: 0 all are equal; 1 not so; 2 it could not be tried.
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PIECE = 4096 };

static _Noreturn void die(const char *what) {
  fprintf(stderr, "core-compare: %s: %s\n", what, strerror(errno));
  exit(2);
}

static uint64_t bytes, differing, nonzero;
static unsigned segments, threads;

static void compare(int memory, const char *core, const Elf64_Phdr *segment) {
  char now[PIECE];
  segments++;
  for (uint64_t at = 0; at < segment->p_filesz; at += PIECE) {
    const char *then = core + segment->p_offset + at;
    // What nobody can read has no place in a core but as zeros.
    if (pread(memory, now, PIECE, (off_t)(segment->p_vaddr + at)) != PIECE) memset(now, 0, PIECE);
    bytes += PIECE;
    for (unsigned byte = 0; byte < PIECE; byte++) {
      differing += now[byte] != then[byte];
      if (nonzero == 0 && then[byte] != 0 && (segment->p_flags & PF_W) != 0) nonzero = segment->p_offset + at + byte;
    }
  }
}

static void count_threads(const char *notes, uint64_t length) {
  for (uint64_t at = 0; at + sizeof(Elf64_Nhdr) <= length;) {
    const Elf64_Nhdr *note = (const void *)(notes + at);
    threads += note->n_type == NT_PRSTATUS;
    at += sizeof *note + (note->n_namesz + 3U) / 4 * 4 + (note->n_descsz + 3U) / 4 * 4;
  }
}

int main(int count, char **arguments) {
  if (count != 3) {
    fputs("usage: core-compare PID CORE\n", stderr);
    return 2;
  }
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/mem", atoi(arguments[1]));
  int memory = open(path, O_RDONLY), file = open(arguments[2], O_RDONLY);
  struct stat status;
  if (memory < 0 || file < 0 || fstat(file, &status) < 0) die("opening the memory and the core");
  const char *core = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, file, 0);
  if (core == MAP_FAILED) die("mapping the core");
  const Elf64_Ehdr *header = (const void *)core;
  if (memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 || header->e_type != ET_CORE) {
    fputs("core-compare: that is no core\n", stderr);
    return 2;
  }
  const Elf64_Phdr *table = (const void *)(core + header->e_phoff);
  for (unsigned at = 0; at < header->e_phnum; at++) {
    if (table[at].p_type == PT_NOTE) count_threads(core + table[at].p_offset, table[at].p_filesz);
    if (table[at].p_type == PT_LOAD) compare(memory, core, &table[at]);
  }
  printf("bytes=%llu differing=%llu segments=%u threads=%u nonzero=%llu\n", (unsigned long long)bytes,
         (unsigned long long)differing, segments, threads, (unsigned long long)nonzero);
  return differing != 0 || bytes == 0;
}
