// layout-target: a process whose memory is the same in every run, for tests that keep digests of its images.
//
//   layout-target memory DIRECTORY    every kind of memory there is; mapped files are made in the directory
//   layout-target many DIRECTORY      thousands of mappings
//   layout-target tree DIRECTORY      a process, its child, and a child of that, each of which writes to its copies
//   layout-target threads DIRECTORY   a process of four threads, each of which writes to a range of its own
//
// Where the memory lies and what is in it is fixed; that of the C library, stacks and the program itself is not, and
// setarch -R and an environment that is always the same make it so on one machine. It writes to standard output:
//
//   process NAME PID
//   range NAME START END            in hexadecimal with 0x; the same in all processes
//   lacking NAME REASON             this range says nothing here
//   ready
//
// Then it does nothing until there is a line "write STEP" on standard input: every process and thread writes the pages of the
// step, and it answers "done". A step sets memory to the same state whenever it follows the same other step, so that steps
// can be gone through again. It ends when standard input does, and when the process ends that has started it.
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "layout.h"

enum { MOST_PROCESSES = 3, MOST_RANGES = 32 };

static const char *const PROCESS_NAMES[MOST_PROCESSES] = {"top", "middle", "bottom"};

static const struct range *ranges;
static const char *lacking[MOST_RANGES];

// The process below this one; 0 where there is none.
static struct {
  pid_t pid;
  int commands, answers;
} below;

// The other threads: both ends of a pipe for each, and a pipe of all answers. Locks would have in memory how often they were
// used.
static struct {
  unsigned count;
  int orders[MOST_RANGES], commands[MOST_RANGES];
  int answers[2];
} threads;

void fail(const char *doing) {
  perror(doing);
  exit(1);
}

static void write_range(size_t index, unsigned step) {
  if (ranges[index].write != NULL && lacking[index] == NULL) ranges[index].write(range_start(index), step);
}

static void *thread_main(void *argument) {
  size_t index = (size_t)argument;
  unsigned char step;
  while (read(threads.commands[index], &step, 1) == 1) {
    write_range(index, step);
    if (write(threads.answers[1], &step, 1) != 1) break;
  }
  return NULL;
}

static void start_threads(void) {
  if (pipe(threads.answers) != 0) fail("pipe");
  for (size_t index = 1; ranges[index].name != NULL; index++) {
    int ends[2];
    pthread_t thread;
    if (pipe(ends) != 0) fail("pipe");
    threads.commands[index] = ends[0];
    threads.orders[index] = ends[1];
    threads.count++;
    if ((errno = pthread_create(&thread, NULL, thread_main, (void *)index)) != 0) fail("pthread_create");
  }
}

static void write_step(unsigned step) {
  unsigned char byte = (unsigned char)step;
  for (unsigned index = 1; index <= threads.count; index++)
    if (write(threads.orders[index], &byte, 1) != 1) fail("a thread");
  // With threads, the first range alone is this one's.
  for (size_t index = 0; ranges[index].name != NULL && (index == 0 || threads.count == 0); index++)
    write_range(index, step);
  for (unsigned index = 1; index <= threads.count; index++)
    if (read(threads.answers[0], &byte, 1) != 1) fail("a thread");
  if (below.pid == 0) return;
  if (write(below.commands, &byte, 1) != 1 || read(below.answers, &byte, 1) != 1) fail("a child");
}

static _Noreturn void obey(int commands, int answers) {
  unsigned char step;
  while (read(commands, &step, 1) == 1) {
    write_step(step);
    if (write(answers, &step, 1) != 1) break;
  }
  exit(0);
}

// Makes a chain of so many processes below this one, and tells of each.
static void make_processes(unsigned number) {
  printf("process %s %d\n", PROCESS_NAMES[number], (int)getpid());
  fflush(stdout);
  set_writer(number);
  if (number + 1 == MOST_PROCESSES) return;
  int commands[2], answers[2];
  pid_t self = getpid();
  if (pipe(commands) != 0 || pipe(answers) != 0) fail("pipe");
  below.pid = fork();
  if (below.pid < 0) fail("fork");
  if (below.pid == 0) {
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != self) exit(1);
    close(commands[1]);
    close(answers[0]);
    // The child knows nobody below it yet.
    below.pid = 0;
    make_processes(number + 1);
    unsigned char byte = 0;
    if (write(answers[1], &byte, 1) != 1) fail("a parent");
    obey(commands[0], answers[1]);
  }
  close(commands[0]);
  close(answers[1]);
  below.commands = commands[1];
  below.answers = answers[0];
  unsigned char byte;
  if (read(below.answers, &byte, 1) != 1) fail("a child");
}

static void make_ranges(void) {
  for (size_t index = 0; ranges[index].name != NULL; index++) {
    const struct range *range = &ranges[index];
    unsigned char *start = range_start(index);
    lacking[index] = range->make(start);
    printf("range %s %p %p\n", range->name, (void *)start, (void *)(start + range->pages * PAGE));
    if (lacking[index] != NULL) printf("lacking %s %s\n", range->name, lacking[index]);
  }
}

static _Noreturn void usage(void) {
  fputs("usage: layout-target memory|many|tree|threads DIRECTORY\n", stderr);
  exit(2);
}

int main(int count, char **arguments) {
  if (count != 3) usage();
  for (const struct layout *layout = LAYOUTS; layout->name != NULL; layout++)
    if (strcmp(layout->name, arguments[1]) == 0) ranges = layout->ranges;
  if (ranges == NULL) usage();
  if (sysconf(_SC_PAGESIZE) != PAGE) {
    fputs("layout-target: pages of 4096 bytes are needed\n", stderr);
    return 1;
  }
  // Nobody would end it otherwise while it is stopped.
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) fail("prctl");
  set_directory(arguments[2]);
  make_ranges();
  if (strcmp(arguments[1], "tree") == 0) {
    make_processes(0);
  } else {
    printf("process %s %d\n", PROCESS_NAMES[0], (int)getpid());
  }
  if (strcmp(arguments[1], "threads") == 0) start_threads();
  puts("ready");
  fflush(stdout);
  // Read without a buffer of the library's.
  char line[16] = "";
  for (size_t length = 0; length + 1 < sizeof line && read(STDIN_FILENO, line + length, 1) == 1;) {
    if (line[length++] != '\n') continue;
    unsigned step;
    if (sscanf(line, "write %u", &step) != 1) usage();
    write_step(step);
    memset(line, 0, sizeof line);
    length = 0;
    puts("done");
    fflush(stdout);
  }
  return 0;
}
