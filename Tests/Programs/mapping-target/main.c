// mapping-target: a process that changes its own memory as it is told, for tests of programs that read it.
//
// A command is a line on standard input, and gets a line on standard output: "ok", with a number where one
// is due, or "failed TEXT". Addresses are hexadecimal with 0x, everything else is decimal.
//
//   map PAGES            private anonymous memory between two gaps, populated -> its address
//   reserve PAGES        the same, not populated -> its address
//   again ADDRESS PAGES  the same at this address, populated
//   file PATH PAGES      a private mapping of a new file, every page read, none written -> its address
//   aio                  a ring of asynchronous I/O -> its number
//   fill ADDRESS PAGES   writes every page: word n holds the address of word n
//   read ADDRESS PAGES   reads every page
//   unmap ADDRESS PAGES
//   protect ADDRESS PAGES none|read|write
//   advise ADDRESS PAGES NUMBER   madvise(2)
//   poison ADDRESS PAGES makes pages that cannot be read by anybody (Linux 6.6)
//   zombie               a child that has ended and is not waited for -> its pid
//   thread               another thread, which sleeps -> its id
//   name TEXT            calls the process so
//   soft-dirty           clears its own dirty bits, then writes a page -> 1 if the page is dirty, else 0
//   exec                 executes itself anew; answers when that is done
//   exit NUMBER          ends, without an answer
//
// It ends by itself when standard input does.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static size_t page_size;

static void answer(const char *text) {
  printf("%s\n", text);
  fflush(stdout);
}

static void answer_address(const void *address) {
  printf("ok 0x%" PRIxPTR "\n", (uintptr_t)address);
  fflush(stdout);
}

static void answer_number(long number) {
  printf("ok %ld\n", number);
  fflush(stdout);
}

static void answer_errno(void) {
  printf("failed %s\n", strerror(errno));
  fflush(stdout);
}

static void answer_result(int result) {
  if (result == 0) {
    answer("ok");
  } else {
    answer_errno();
  }
}

static void fill(void *address, size_t pages) {
  uint64_t *words = address;
  for (size_t at = 0; at < pages * page_size / sizeof *words; at++) words[at] = (uintptr_t)(words + at);
}

static void read_pages(const void *address, size_t pages) {
  for (size_t at = 0; at < pages; at++) (void)((const volatile char *)address)[at * page_size];
}

// With a gap on either side, so that it is a mapping of its own.
static void *reserve(size_t pages) {
  size_t size = pages * page_size;
  char *start = mmap(NULL, size + 2 * page_size, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (start == MAP_FAILED) return NULL;
  munmap(start, page_size);
  munmap(start + page_size + size, page_size);
  // A huge page would populate what was not touched.
  madvise(start + page_size, size, MADV_NOHUGEPAGE);
  return start + page_size;
}

static void map(size_t pages, int populate) {
  void *start = reserve(pages);
  if (start == NULL) {
    answer_errno();
    return;
  }
  if (populate) fill(start, pages);
  answer_address(start);
}

static void map_again(void *address, size_t pages) {
  void *start = mmap(address, pages * page_size, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  if (start == MAP_FAILED) {
    answer_errno();
    return;
  }
  fill(start, pages);
  answer("ok");
}

static void map_file(const char *path, size_t pages) {
  int file = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (file < 0 || ftruncate(file, (off_t)(pages * page_size)) < 0) {
    answer_errno();
    return;
  }
  void *start = mmap(NULL, pages * page_size, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
  close(file);
  if (start == MAP_FAILED) {
    answer_errno();
    return;
  }
  read_pages(start, pages);
  answer_address(start);
}

static void make_aio(void) {
  unsigned long context = 0;
  if (syscall(SYS_io_setup, 1, &context) < 0) {
    answer_errno();
  } else {
    answer_number((long)context);
  }
}

static int protection(const char *name) {
  if (strcmp(name, "none") == 0) return PROT_NONE;
  if (strcmp(name, "read") == 0) return PROT_READ;
  return PROT_READ | PROT_WRITE;
}

// The kernel's struct uffdio_poison, which the headers of Debian 12 lack.
struct poison {
  struct uffdio_range range;
  uint64_t mode;
  int64_t updated;
};

static void poison(void *address, size_t pages) {
  struct uffdio_range range = {.start = (uintptr_t)address, .len = pages * page_size};
  struct uffdio_api api = {.api = UFFD_API, .features = 1 << 14};  // UFFD_FEATURE_POISON
  struct uffdio_register area = {.range = range, .mode = UFFDIO_REGISTER_MODE_MISSING};
  struct poison order = {.range = range};
  // It stays open: closing it would end the poison.
  int faults = (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
  if (faults < 0 || ioctl(faults, UFFDIO_API, &api) < 0 || ioctl(faults, UFFDIO_REGISTER, &area) < 0 ||
      madvise(address, pages * page_size, MADV_DONTNEED) < 0 ||
      ioctl(faults, _IOWR(UFFDIO, 0x08, struct poison), &order) < 0) {
    answer_errno();
  } else {
    answer("ok");
  }
}

static void make_zombie(void) {
  pid_t child = fork();
  if (child == 0) _exit(0);
  siginfo_t ended;
  // WNOWAIT leaves it as it is; without the wait it might still live when the answer is read.
  if (child < 0 || waitid(P_PID, (id_t)child, &ended, WEXITED | WNOWAIT) < 0) {
    answer_errno();
  } else {
    answer_number(child);
  }
}

static int thread_id[2];

static void *sleep_in_thread(void *unused) {
  (void)unused;
  pid_t id = (pid_t)syscall(SYS_gettid);
  if (write(thread_id[1], &id, sizeof id) != sizeof id) abort();
  for (;;) pause();
}

static void start_thread(void) {
  pthread_t thread;
  pid_t id;
  if (pipe2(thread_id, O_CLOEXEC) < 0) {
    answer_errno();
    return;
  }
  errno = pthread_create(&thread, NULL, sleep_in_thread, NULL);
  if (errno != 0 || read(thread_id[0], &id, sizeof id) != sizeof id) {
    answer_errno();
  } else {
    answer_number(id);
  }
}

static void try_soft_dirty(void) {
  int refs = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
  int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
  volatile char *page = reserve(1);
  uint64_t entry = 0;
  if (refs < 0 || pagemap < 0 || page == NULL) {
    answer_errno();
    return;
  }
  page[0] = 1;
  if (write(refs, "4", 1) != 1) {
    answer_errno();
    return;
  }
  page[0] = 2;
  off_t offset = (off_t)((uintptr_t)page / page_size * sizeof entry);
  if (pread(pagemap, &entry, sizeof entry, offset) != sizeof entry) {
    answer_errno();
    return;
  }
  close(refs);
  close(pagemap);
  answer_number((long)(entry >> 55 & 1));
}

static void obey(char *const *arguments) {
  char line[8192], word[16], text[4200] = "";
  while (fgets(line, sizeof line, stdin) != NULL) {
    uintptr_t start = 0;
    size_t pages = 0;
    int number = 0;
    if (sscanf(line, "map %zu", &pages) == 1) {
      map(pages, 1);
    } else if (sscanf(line, "reserve %zu", &pages) == 1) {
      map(pages, 0);
    } else if (sscanf(line, "again %" SCNxPTR " %zu", &start, &pages) == 2) {
      map_again((void *)start, pages);
    } else if (sscanf(line, "file %4199s %zu", text, &pages) == 2) {
      map_file(text, pages);
    } else if (strcmp(line, "aio\n") == 0) {
      make_aio();
    } else if (sscanf(line, "fill %" SCNxPTR " %zu", &start, &pages) == 2) {
      fill((void *)start, pages);
      answer("ok");
    } else if (sscanf(line, "read %" SCNxPTR " %zu", &start, &pages) == 2) {
      read_pages((void *)start, pages);
      answer("ok");
    } else if (sscanf(line, "unmap %" SCNxPTR " %zu", &start, &pages) == 2) {
      answer_result(munmap((void *)start, pages * page_size));
    } else if (sscanf(line, "protect %" SCNxPTR " %zu %15s", &start, &pages, word) == 3) {
      answer_result(mprotect((void *)start, pages * page_size, protection(word)));
    } else if (sscanf(line, "advise %" SCNxPTR " %zu %d", &start, &pages, &number) == 3) {
      answer_result(madvise((void *)start, pages * page_size, number));
    } else if (sscanf(line, "poison %" SCNxPTR " %zu", &start, &pages) == 2) {
      poison((void *)start, pages);
    } else if (strcmp(line, "zombie\n") == 0) {
      make_zombie();
    } else if (strcmp(line, "thread\n") == 0) {
      start_thread();
    } else if (sscanf(line, "name %4199[^\n]", text) == 1) {
      answer_result(prctl(PR_SET_NAME, text, 0, 0, 0));
    } else if (strcmp(line, "soft-dirty\n") == 0) {
      try_soft_dirty();
    } else if (strcmp(line, "exec\n") == 0) {
      execv("/proc/self/exe", arguments);
      answer_errno();
    } else if (sscanf(line, "exit %d", &number) == 1) {
      _exit(number);
    } else {
      answer("failed no such command");
    }
  }
}

int main(int count, char **arguments) {
  (void)count;
  page_size = (size_t)sysconf(_SC_PAGESIZE);
  // Unbuffered: what is read ahead would be lost by an exec.
  setvbuf(stdin, NULL, _IONBF, 0);
  answer("ok");
  obey(arguments);
  return 0;
}
