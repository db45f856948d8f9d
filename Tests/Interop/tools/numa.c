// Nodes of memory and processors, for the suite: puts programs and pages on them, and bears witness, by the kernel's own
// figures, to where a program reads another's memory from, where to, and on which node's processors.
//
//   numa run bind|interleave NODES PROGRAM ARGUMENT...   runs a program whose memory comes from the nodes in the mask
//   numa stir PID                moves a MiB of the process, somewhere, to the other of two nodes (move_pages), and again after
//                                a rest, without end; prints a line for each
//   numa where PID               prints the pages of a process by node: node0=N node1=N
//   numa fill NODE               takes a node's memory until the kernel gives some of another's, prints "full", and takes
//                                whatever of it becomes free
//   numa witness FILE PROGRAM ARGUMENT...
//                                runs a program, stops each of its threads after each process_vm_readv, and looks at every
//                                page that was read, at where it was put, and at the thread; writes the sums into the file
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/mempolicy.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

enum { page = 4096, most_nodes = 8, most_runs = 1024, most_pages = 4096, most_threads = 1 << 16 };

_Noreturn static void die(const char *what) {
  perror(what);
  exit(2);
}

static int nodes_of(pid_t pid, size_t count, void **pages, int *nodes) {
  return (int)syscall(SYS_move_pages, pid, count, pages, NULL, nodes, 0);
}

// MARK: Putting things on nodes

static int run(char **arguments) {
  unsigned long mask = strtoul(arguments[1], NULL, 0);
  int mode = strcmp(arguments[0], "interleave") == 0 ? MPOL_INTERLEAVE : MPOL_BIND;
  if (syscall(SYS_set_mempolicy, mode, &mask, 8 * sizeof mask) < 0) die("set_mempolicy");
  execvp(arguments[2], arguments + 2);
  die(arguments[2]);
}

// Calls `body` for the bounds of each mapping that a process can write.
static void for_each_mapping(pid_t pid, void (*body)(pid_t, unsigned long, unsigned long)) {
  char path[64], line[8192];
  snprintf(path, sizeof path, "/proc/%d/maps", pid);
  FILE *maps = fopen(path, "r");
  if (maps == NULL) die(path);
  while (fgets(line, sizeof line, maps) != NULL) {
    unsigned long start, end;
    char rights[8];
    if (sscanf(line, "%lx-%lx %7s", &start, &end, rights) == 3 && rights[1] == 'w') body(pid, start, end);
  }
  fclose(maps);
}

static uint64_t pages_on[most_nodes];

static void count_pages(pid_t pid, unsigned long start, unsigned long end) {
  static void *pages[most_pages];
  static int nodes[most_pages];
  while (start < end) {
    size_t count = 0;
    for (; count < most_pages && start < end; start += page) pages[count++] = (void *)start;
    if (nodes_of(pid, count, pages, nodes) < 0) die("move_pages");
    for (size_t at = 0; at < count; at++)
      if (nodes[at] >= 0 && nodes[at] < most_nodes) pages_on[nodes[at]]++;
  }
}

static int where(char **arguments) {
  for_each_mapping(atoi(arguments[0]), count_pages);
  for (int node = 0; node < 2; node++) printf("node%d=%" PRIu64 " ", node, pages_on[node]);
  putchar('\n');
  return 0;
}

static unsigned long biggest_start, biggest_end;

static void note_biggest(pid_t pid, unsigned long start, unsigned long end) {
  (void)pid;
  if (end - start > biggest_end - biggest_start) biggest_start = start, biggest_end = end;
}

static int stir(char **arguments) {
  enum { piece = 256, rest_microseconds = 30000 };
  pid_t pid = atoi(arguments[0]);
  for_each_mapping(pid, note_biggest);
  unsigned long pieces = (biggest_end - biggest_start) / page / piece;
  if (pieces == 0) return 2;
  for (;;) {
    void *pages[piece];
    int nodes[piece], status[piece];
    unsigned long start = biggest_start + (unsigned long)rand() % pieces * piece * page;
    for (int at = 0; at < piece; at++) pages[at] = (void *)(start + (unsigned long)at * page);
    if (nodes_of(pid, piece, pages, status) < 0) return errno == ESRCH ? 0 : 2;
    for (int at = 0; at < piece; at++) nodes[at] = status[0] == 0;
    if (syscall(SYS_move_pages, pid, (unsigned long)piece, pages, nodes, status, MPOL_MF_MOVE) < 0) return 2;
    puts("moved");
    fflush(stdout);
    usleep(rest_microseconds);
  }
}

// Takes a page, and keeps it if it is of the node. Returns whether it is.
static bool take_page(int node) {
  char *one = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (one == MAP_FAILED) die("mmap");
  one[0] = 1;
  int found = -1;
  if (nodes_of(0, 1, (void **)&one, &found) < 0) die("move_pages");
  if (found != node && munmap(one, page) < 0) die("munmap");
  return found == node;
}

static int fill(char **arguments) {
  enum { rest_microseconds = 5000 };
  int node = atoi(arguments[0]);
  unsigned long mask = 1UL << node;
  if (syscall(SYS_set_mempolicy, MPOL_PREFERRED, &mask, 8 * sizeof mask) < 0) die("set_mempolicy");
  size_t taken = 0, elsewhere = 0;
  // Some of what the kernel has lent to caches comes back: so not at the first.
  while (elsewhere < 4096) {
    elsewhere += !take_page(node);
    taken++;
    if (taken > 1 << 20) break;
  }
  printf("full after %zu pages\n", taken);
  fflush(stdout);
  // What caches give back from now on is taken as well: the node stays full.
  for (;;) {
    while (take_page(node)) continue;
    usleep(rest_microseconds);
  }
}

// MARK: Bearing witness

static int node_of_processor[1024];

static void learn_processors(void) {
  for (int node = 0; node < most_nodes; node++) {
    char path[96];
    snprintf(path, sizeof path, "/sys/devices/system/node/node%d/cpulist", node);
    FILE *list = fopen(path, "r");
    if (list == NULL) continue;
    int first, last;
    while (fscanf(list, "%d", &first) == 1) {
      last = first;
      int next = fgetc(list);
      if (next == '-') {
        if (fscanf(list, "%d", &last) != 1) break;
        next = fgetc(list);
      }
      for (int at = first; at <= last && at < 1024; at++) node_of_processor[at] = node;
      if (next != ',') break;
    }
    fclose(list);
  }
}

// The node of the processor that a thread ran on last: the 39th field of its stat.
static int node_of_thread(pid_t thread) {
  char path[64], text[4096];
  snprintf(path, sizeof path, "/proc/%d/stat", thread);
  FILE *file = fopen(path, "r");
  if (file == NULL) return -1;
  size_t length = fread(text, 1, sizeof text - 1, file);
  fclose(file);
  text[length] = '\0';
  char *at = strrchr(text, ')');
  int processor = -1;
  for (int field = 2; at != NULL && field < 39; field++) at = strchr(at + 1, ' ');
  if (at != NULL) processor = atoi(at + 1);
  return processor >= 0 && processor < 1024 ? node_of_processor[processor] : -1;
}

static struct {
  uint64_t calls;
  // Pages by the node that held them; and those of them that were read by a thread there, into memory there.
  uint64_t held[most_nodes], local[most_nodes];
  // Where the parts were each elsewhere.
  uint64_t far_buffer, far_thread, unknown;
  // Readers that stay on some processors, each time that was looked; other threads that do, the last time.
  uint64_t readers_there, strays;
  // The memory that the program has asked the kernel to have on a node, by that node and by where numa_maps has it.
  uint64_t maps[most_nodes][most_nodes];
} seen;

static void look_at_maps(pid_t pid) {
  char path[64], line[8192];
  snprintf(path, sizeof path, "/proc/%d/numa_maps", pid);
  FILE *maps = fopen(path, "r");
  if (maps == NULL) return;
  memset(seen.maps, 0, sizeof seen.maps);
  while (fgets(line, sizeof line, maps) != NULL) {
    const char *prefer = strstr(line, " prefer");
    const char *colon = prefer != NULL ? strchr(prefer, ':') : NULL;
    if (colon == NULL) continue;
    int wanted = atoi(colon + 1);
    if (wanted < 0 || wanted >= most_nodes) continue;
    for (int node = 0; node < most_nodes; node++) {
      char key[8];
      snprintf(key, sizeof key, " N%d=", node);
      const char *found = strstr(line, key);
      if (found != NULL) seen.maps[wanted][node] += strtoul(found + strlen(key), NULL, 10);
    }
  }
  fclose(maps);
}

static void look_at_threads(pid_t program);

static void look_at_read(pid_t thread, pid_t program, const struct user_regs_struct *entry, long done) {
  static struct iovec there[most_runs], here[most_runs];
  static void *from[1 << 18], *into[1 << 18];
  static int from_nodes[1 << 18], into_nodes[1 << 18];
  size_t runs = entry->r8 < most_runs ? entry->r8 : most_runs;
  struct iovec remote[2] = {{(void *)entry->r10, runs * sizeof *there}, {(void *)entry->rsi, sizeof *here}};
  struct iovec local[2] = {{there, runs * sizeof *there}, {here, sizeof *here}};
  if (entry->rdx != 1 || process_vm_readv(thread, local, 2, remote, 2, 0) < 0) die("reading a reader's arguments");
  size_t count = 0;
  char *target = here[0].iov_base;
  for (size_t at = 0; at < runs && done > 0; at++) {
    for (size_t offset = 0; offset < there[at].iov_len && done > 0; offset += page, done -= page, target += page) {
      if (count == 1 << 18) die("a read that is too long");
      from[count] = (char *)there[at].iov_base + offset;
      into[count++] = target;
    }
  }
  // A process that has ended says nothing.
  if (nodes_of((pid_t)entry->rdi, count, from, from_nodes) < 0) return;
  if (nodes_of(program, count, into, into_nodes) < 0) die("move_pages");
  int own = node_of_thread(thread);
  for (size_t at = 0; at < count; at++) {
    int node = from_nodes[at];
    if (node < 0 || node >= most_nodes) {
      seen.unknown++;
      continue;
    }
    seen.held[node]++;
    seen.far_buffer += into_nodes[at] != node;
    seen.far_thread += own != node;
    seen.local[node] += into_nodes[at] == node && own == node;
  }
  if (++seen.calls % 8 != 0) return;
  look_at_maps(program);
  look_at_threads(program);
}

// Threads that may not run everywhere, and are no readers: they would have inherited that from one.
static void look_at_threads(pid_t program) {
  char path[512], line[4096], name[64] = "", everywhere[256] = "", allowed[256] = "";
  snprintf(path, sizeof path, "/proc/%d/task", program);
  DIR *threads = opendir(path);
  if (threads == NULL) return;
  seen.strays = 0;
  for (struct dirent *entry; (entry = readdir(threads)) != NULL;) {
    if (entry->d_name[0] == '.') continue;
    snprintf(path, sizeof path, "/proc/%d/task/%s/status", program, entry->d_name);
    FILE *status = fopen(path, "r");
    if (status == NULL) continue;
    while (fgets(line, sizeof line, status) != NULL) {
      sscanf(line, "Name:\t%63[^\n]", name);
      sscanf(line, "Cpus_allowed_list:\t%255s", allowed);
    }
    fclose(status);
    // The program's first thread is listed first.
    if (everywhere[0] == '\0') strcpy(everywhere, allowed);
    bool is_reader = strncmp(name, "sluice-read", 11) == 0;
    if (is_reader) seen.readers_there += strcmp(allowed, everywhere) != 0;
    if (!is_reader && strcmp(allowed, everywhere) != 0) seen.strays++;
  }
  closedir(threads);
}

static void have_reads_told(void) {
  struct sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_process_vm_readv, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0) die("seccomp");
}

static int witness(char **arguments) {
  learn_processors();
  pid_t program = fork();
  if (program < 0) die("fork");
  if (program == 0) {
    raise(SIGSTOP);
    have_reads_told();
    execvp(arguments[1], arguments + 1);
    die(arguments[1]);
  }
  int status;
  if (waitpid(program, &status, WUNTRACED) < 0) die("waitpid");
  long options = PTRACE_O_TRACECLONE | PTRACE_O_TRACESECCOMP | PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL;
  if (ptrace(PTRACE_SEIZE, program, NULL, options) < 0) die("PTRACE_SEIZE");
  kill(program, SIGCONT);
  // The arguments of the read that a thread is in.
  static struct user_regs_struct *entries[most_threads];
  int end = 2;
  for (;;) {
    pid_t thread = waitpid(-1, &status, __WALL);
    if (thread < 0) break;
    if (WIFEXITED(status) || WIFSIGNALED(status)) {
      if (thread == program) end = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
      continue;
    }
    int signal = WSTOPSIG(status), event = status >> 16;
    struct user_regs_struct **entry = &entries[thread % most_threads];
    if (event == PTRACE_EVENT_SECCOMP) {
      if (*entry == NULL) *entry = malloc(sizeof **entry);
      ptrace(PTRACE_GETREGS, thread, NULL, *entry);
      ptrace(PTRACE_SYSCALL, thread, NULL, NULL);
      continue;
    }
    if (signal == (SIGTRAP | 0x80)) {
      struct user_regs_struct now;
      ptrace(PTRACE_GETREGS, thread, NULL, &now);
      // After the stop by the filter there is one at the call's own beginning.
      if (now.rax == (unsigned long)-ENOSYS) {
        ptrace(PTRACE_SYSCALL, thread, NULL, NULL);
        continue;
      }
      if ((long)now.rax > 0 && *entry != NULL) look_at_read(thread, program, *entry, (long)now.rax);
      ptrace(PTRACE_CONT, thread, NULL, NULL);
      continue;
    }
    // A stop that is ours has nothing to be handed on.
    ptrace(PTRACE_CONT, thread, NULL, (void *)(long)(event != 0 || signal == SIGTRAP ? 0 : signal));
  }
  FILE *file = fopen(arguments[0], "w");
  if (file == NULL) die(arguments[0]);
  uint64_t all = 0, local = 0;
  for (int node = 0; node < most_nodes; node++) all += seen.held[node], local += seen.local[node];
  uint64_t placed = seen.maps[0][0] + seen.maps[1][1], elsewhere = seen.maps[0][1] + seen.maps[1][0];
  fprintf(file, "calls=%" PRIu64 " pages=%" PRIu64 " node0=%" PRIu64 " node1=%" PRIu64 " local=%" PRIu64, seen.calls, all,
          seen.held[0], seen.held[1], local);
  fprintf(file, " percent=%" PRIu64 " far_buffer=%" PRIu64 " far_thread=%" PRIu64 " unknown=%" PRIu64,
          all > 0 ? local * 100 / all : 0, seen.far_buffer, seen.far_thread, seen.unknown);
  fprintf(file, " numa_maps_placed=%" PRIu64 " numa_maps_elsewhere=%" PRIu64, placed, elsewhere);
  fprintf(file, " pinned=%" PRIu64 " strays=%" PRIu64 "\n", seen.readers_there, seen.strays);
  fclose(file);
  return end;
}

int main(int count, char **arguments) {
  if (count >= 5 && strcmp(arguments[1], "run") == 0) return run(arguments + 2);
  if (count == 3 && strcmp(arguments[1], "stir") == 0) return stir(arguments + 2);
  if (count == 3 && strcmp(arguments[1], "where") == 0) return where(arguments + 2);
  if (count == 3 && strcmp(arguments[1], "fill") == 0) return fill(arguments + 2);
  if (count >= 4 && strcmp(arguments[1], "witness") == 0) return witness(arguments + 2);
  fprintf(stderr, "usage: see the first lines of numa.c\n");
  return 2;
}
