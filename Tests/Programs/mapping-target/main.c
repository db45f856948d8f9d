// mapping-target: a process that changes its own memory as it is told, for tests of programs that read it.
//
// A command is a line on standard input, and gets a line on standard output: "ok", with a number where one
// is due, or "failed TEXT". Addresses are hexadecimal with 0x, everything else is decimal.
//
//   map PAGES            private anonymous memory between two gaps, populated -> its address
//   reserve PAGES        the same, not populated -> its address
//   hidden PAGES         the same as map, and then not accessible -> its address
//   again ADDRESS PAGES  the same at this address, populated
//   fill ADDRESS PAGES   writes every page: word n holds the address of word n
//   stamp ADDRESS PAGES NUMBER    writes every page: every word is the number
//   read ADDRESS PAGES   reads every page
//   unmap ADDRESS PAGES
//   move ADDRESS PAGES   to another address -> that
//   protect ADDRESS PAGES none|r|w|x|rw|...
//   pieces COUNT         memory that is so many mappings
//   advise ADDRESS PAGES NUMBER   madvise(2)
//
//   file PATH PAGES      a private mapping of a new file, every page read, none written -> its address
//   file-at ADDRESS PAGES PATH    the same at this address -> that
//   aio                  a ring of asynchronous I/O -> its number
//   ring                 a private mapping of a page of a new io_uring -> its address
//   hugetlb PAGES        private memory of hugetlbfs, in ordinary pages, populated -> its address
//   hugetlb-memfd PAGES  the same by way of a memfd -> its address
//   droppable PAGES      memory that the kernel may drop, populated (Linux 6.11) -> its address
//   stack PAGES          memory that grows downwards when it is touched below its start, populated -> its address
//   shadow-stack PAGES   a shadow stack -> its address
//   high PAGES           populated memory above 47 bits -> its address
//   catch-faults ADDRESS PAGES  whoever touches a page of these that is not there waits for good (userfaultfd)
//   catch-faults-elsewhere ADDRESS PAGES    the same, by a child that does not answer
//   catch-writes ADDRESS PAGES  whoever writes a page of these waits for good
//   watch-itself ADDRESS PAGES  it watches by itself which of these are written, asynchronously (Linux 6.7)
//   written ADDRESS PAGES  looks at what it watches -> how many pages were written since the last look
//   poison ADDRESS PAGES makes pages that cannot be read by anybody (Linux 6.6)
//
//   zombie               a child that has ended and is not waited for -> its pid
//   thread               another thread, which sleeps -> its id
//   leave-main-thread    the main thread ends, and another one obeys from then on
//   share-memory         a child that shares all memory; on SIGUSR1 it executes another program -> its pid
//   child-as PID         a child with this pid, which sleeps
//   name TEXT            calls the process so
//   soft-dirty           clears its own dirty bits, then writes a page -> 1 if the page is dirty, else 0
//   where-probed         the function that the next command calls -> its address
//   probed NUMBER        -> the number
//   exec                 executes itself anew; answers when that is done
//   exit NUMBER          ends, without an answer
//
// It ends by itself when standard input does.
#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "commands.h"

enum { MOST_WORDS = 3 };

void *address_in(const struct words *words, size_t at) { return (void *)(uintptr_t)strtoull(words->word[at], NULL, 16); }

size_t number_in(const struct words *words, size_t at) { return strtoull(words->word[at], NULL, 10); }

void answer_done(void) {
  puts("ok");
  fflush(stdout);
}

void answer_address(const void *address) {
  printf("ok 0x%" PRIxPTR "\n", (uintptr_t)address);
  fflush(stdout);
}

void answer_number(long number) {
  printf("ok %ld\n", number);
  fflush(stdout);
}

void answer_errno(void) {
  printf("failed %s\n", strerror(errno));
  fflush(stdout);
}

void answer_result(int result) {
  if (result == 0) {
    answer_done();
  } else {
    answer_errno();
  }
}

void answer_mapping(void *start) {
  if (start == MAP_FAILED) {
    answer_errno();
  } else {
    answer_address(start);
  }
}

static const struct command *find(const char *name) {
  const struct command *const lists[] = {memory_commands, kind_commands, process_commands};
  for (size_t list = 0; list < sizeof lists / sizeof *lists; list++)
    for (const struct command *command = lists[list]; command->name != NULL; command++)
      if (strcmp(command->name, name) == 0) return command;
  return NULL;
}

static void obey(char *line) {
  char *word[MOST_WORDS], *rest = line;
  struct words words = {.word = word};
  line[strcspn(line, "\n")] = 0;
  const struct command *command = find(strsep(&rest, " "));
  // The last word has the rest of the line, with the spaces in it.
  for (; command != NULL && rest != NULL && words.count < command->words; words.count++)
    word[words.count] = words.count + 1 < command->words ? strsep(&rest, " ") : rest;
  if (command == NULL || words.count < command->words) {
    puts("failed no such command");
    fflush(stdout);
    return;
  }
  command->run(&words);
}

void serve(void) {
  char line[8192];
  while (fgets(line, sizeof line, stdin) != NULL) obey(line);
}

int main(void) {
  // Unbuffered: what is read ahead would be lost by an exec.
  setvbuf(stdin, NULL, _IONBF, 0);
  answer_done();
  serve();
  return 0;
}
