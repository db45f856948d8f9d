// slow-disk: a filesystem in memory that is as bad as it is told to be, for tests of programs that write to a disk.
//
//   slow-disk DIRECTORY [BYTES]
//
// It mounts itself on the directory (which takes root and /dev/fuse), and says "ready". With BYTES, no more than so many
// bytes a second are written to it or read from it. Then it obeys lines on standard input, and answers each with "ok":
//
//   hang WHAT [NAME]         requests of this kind are not answered from now on; the first says "hanging WHAT"
//   fail WHAT ERRNO [NAME]   they fail, such as "fail write ENOSPC"
//   pass WHAT                they are answered again, and those that hang are, too
//
// With NAME it is those of files alone whose names begin with it. WHAT is one of lookup, create, open, read, write, flush, fsync, allocate, truncate, rename, unlink. At the end of
// standard input it unmounts itself and ends; what hangs fails then.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "disk.h"
#include "requests.h"

static const struct {
  const char *name;
  uint32_t opcode;
} kinds[] = {
    {"lookup", FUSE_LOOKUP},      {"create", FUSE_CREATE},    {"open", FUSE_OPEN},     {"read", FUSE_READ},
    {"write", FUSE_WRITE},        {"flush", FUSE_FLUSH},      {"fsync", FUSE_FSYNC},   {"allocate", FUSE_FALLOCATE},
    {"truncate", FUSE_SETATTR},   {"rename", FUSE_RENAME},   {"unlink", FUSE_UNLINK},
};
enum { KINDS = sizeof kinds / sizeof *kinds, MOST_WAITING = 1024 };

static const struct {
  const char *name;
  int number;
} errors[] = {{"ENOSPC", ENOSPC}, {"EIO", EIO}, {"EDQUOT", EDQUOT}};

/// How a kind of request is treated.
static struct {
  bool hangs, is_told;
  int error;
  char name[32]; // of the files alone whose names begin with this
} treatment[KINDS];

/// A request that is not answered yet.
struct waiting {
  struct fuse_in_header *request;
  int64_t due_ns; // 0: it hangs
};

static struct waiting waiting[MOST_WAITING];
static size_t waiting_count;
static int64_t bytes_per_second, free_at_ns;
static int device;

static void fail(const char *doing) {
  perror(doing);
  exit(1);
}

static void say(const char *text, const char *what) {
  printf("%s%s\n", text, what);
  fflush(stdout);
}

static int64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static int kind_of(uint32_t opcode) {
  for (int i = 0; i < KINDS; i++) {
    if (kinds[i].opcode == opcode) return i;
  }
  return -1;
}

static void answer(const struct fuse_in_header *request, int error) {
  static struct answer made;
  if (error != 0) {
    made.error = -error;
    made.length = 0;
    made.silent = false;
  } else {
    requests_do(request, &made);
  }
  if (made.silent) return;
  struct fuse_out_header header = {
      .len = (uint32_t)(sizeof header + made.length), .error = made.error, .unique = request->unique};
  struct iovec parts[] = {{&header, sizeof header}, {made.data, made.length}};
  // ENOENT: whoever asked wants no answer any more.
  if (writev(device, parts, 2) < 0 && errno != ENOENT) fail("answering");
}

static void keep(const struct fuse_in_header *request, int64_t due_ns) {
  if (waiting_count == MOST_WAITING) {
    fprintf(stderr, "too many requests wait\n");
    exit(1);
  }
  struct fuse_in_header *copy = malloc(request->len);
  if (copy == NULL) fail("malloc");
  memcpy(copy, request, request->len);
  waiting[waiting_count++] = (struct waiting){copy, due_ns};
}

/// The kind of a request that is not to be answered as it should be; -1 for another.
static int kind_in_trouble(const struct fuse_in_header *request) {
  int kind = kind_of(request->opcode);
  if (kind < 0 || (!treatment[kind].hangs && treatment[kind].error == 0)) return -1;
  const struct node *node = disk_node(request->nodeid);
  const char *name = treatment[kind].name;
  return node != NULL && strncmp(node->name, name, strlen(name)) == 0 ? kind : -1;
}

static void take(const struct fuse_in_header *request) {
  int kind = kind_in_trouble(request);
  if (kind >= 0 && treatment[kind].hangs) {
    keep(request, 0);
    if (!treatment[kind].is_told) say("hanging ", kinds[kind].name);
    treatment[kind].is_told = true;
    return;
  }
  int error = kind >= 0 ? treatment[kind].error : 0;
  uint64_t bytes = error == 0 ? requests_byte_count(request) : 0;
  if (bytes == 0 || bytes_per_second == 0) {
    answer(request, error);
    return;
  }
  int64_t now = now_ns();
  if (free_at_ns < now) free_at_ns = now;
  free_at_ns += (int64_t)(bytes * 1000000000 / (uint64_t)bytes_per_second);
  keep(request, free_at_ns);
}

/// Answers what waits and is due, or hangs and is of a kind that need not any more.
static void let_go(int64_t now, uint32_t opcode) {
  size_t left = 0;
  for (size_t i = 0; i < waiting_count; i++) {
    struct waiting one = waiting[i];
    bool is_due = one.due_ns == 0 ? one.request->opcode == opcode : one.due_ns <= now;
    if (!is_due) {
      waiting[left++] = one;
      continue;
    }
    answer(one.request, 0);
    free(one.request);
  }
  waiting_count = left;
}

/// How long to wait for the next that is due, for poll(2).
static int patience_ms(int64_t now) {
  int64_t next = 0;
  for (size_t i = 0; i < waiting_count; i++) {
    int64_t due = waiting[i].due_ns;
    if (due != 0 && (next == 0 || due < next)) next = due;
  }
  if (next == 0) return -1;
  return next <= now ? 0 : (int)((next - now) / 1000000 + 1);
}

static void obey(char *line) {
  char word[16], what[16], third[32] = "", fourth[32] = "";
  if (sscanf(line, "%15s %15s %31s %31s", word, what, third, fourth) < 2) goto unknown;
  bool fails = strcmp(word, "fail") == 0;
  for (int kind = 0; kind < KINDS; kind++) {
    if (strcmp(kinds[kind].name, what) != 0) continue;
    treatment[kind].hangs = strcmp(word, "hang") == 0;
    treatment[kind].is_told = false;
    treatment[kind].error = 0;
    strcpy(treatment[kind].name, fails ? fourth : third);
    for (size_t i = 0; fails && i < sizeof errors / sizeof *errors; i++) {
      if (strcmp(errors[i].name, third) == 0) treatment[kind].error = errors[i].number;
    }
    say("ok", "");
    if (strcmp(word, "pass") == 0) let_go(now_ns(), kinds[kind].opcode);
    return;
  }
unknown:
  fprintf(stderr, "what is this: %s\n", line);
  exit(2);
}

static void mount_on(const char *directory) {
  device = open("/dev/fuse", O_RDWR | O_CLOEXEC);
  if (device < 0) fail("/dev/fuse");
  char options[128];
  snprintf(options, sizeof options, "fd=%d,rootmode=40755,user_id=0,group_id=0,allow_other,default_permissions", device);
  if (mount("slow-disk", directory, "fuse", MS_NOSUID | MS_NODEV, options) != 0) fail("mount");
}

/// Reads commands as they come, since a line may come in parts.
///
/// Returns false at the end.
static bool take_commands(void) {
  static char text[256];
  static size_t length;
  ssize_t count = read(0, text + length, sizeof text - 1 - length);
  if (count <= 0) return false;
  length += (size_t)count;
  text[length] = '\0';
  char *end;
  while ((end = strchr(text, '\n')) != NULL) {
    *end = '\0';
    obey(text);
    length -= (size_t)(end + 1 - text);
    memmove(text, end + 1, length + 1);
  }
  return true;
}

int main(int count, char **arguments) {
  static char request[REQUEST_BYTES];
  if (count < 2) {
    fprintf(stderr, "usage: slow-disk DIRECTORY [BYTES]\n");
    return 2;
  }
  if (count > 2) bytes_per_second = atoll(arguments[2]);
  disk_make_root();
  mount_on(arguments[1]);
  say("ready", "");
  for (;;) {
    struct pollfd watched[] = {{.fd = device, .events = POLLIN}, {.fd = 0, .events = POLLIN}};
    int64_t now = now_ns();
    if (poll(watched, 2, patience_ms(now)) < 0 && errno != EINTR) fail("poll");
    let_go(now_ns(), 0);
    if (watched[1].revents != 0 && !take_commands()) break;
    if (watched[0].revents == 0) continue;
    ssize_t length = read(device, request, sizeof request);
    if (length > 0) {
      take((const struct fuse_in_header *)request);
    } else if (errno == ENODEV) {
      return 0; // somebody else has unmounted it
    } else if (errno != EINTR && errno != ENOENT && errno != EAGAIN) {
      fail("reading a request");
    }
  }
  umount2(arguments[1], MNT_DETACH);
  return 0;
}
