#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "faults.h"
#include "sluice_beneath.h"

/// How often a path is tried again that somebody renames while the kernel follows it (EAGAIN).
enum { most_tries = 64 };

/// Follows a path step by step, for a kernel without openat2(2): no component may be a link, and where `stays` holds none
/// may lead out of the directory.
static int open_by_steps(int directory, const char *path, int flags, mode_t mode, bool stays) {
  int at = directory;
  int result;
  if (*path == '/') {
    if (stays) return -EXDEV;
    at = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (at < 0) return -errno;
    path += strspn(path, "/");
    if (*path == '\0') path = ".";
  }
  for (;;) {
    char name[NAME_MAX + 1];
    size_t length = strcspn(path, "/");
    if (length == 0 || length > NAME_MAX) {
      result = length == 0 ? -ENOENT : -ENAMETOOLONG;
      break;
    }
    memcpy(name, path, length);
    name[length] = '\0';
    if (stays && strcmp(name, "..") == 0) {
      result = -EXDEV;
      break;
    }
    const char *rest = path + length + strspn(path + length, "/");
    if (*rest == '\0') {
      int opened = TEMP_FAILURE_RETRY(openat(at, name, flags | O_NOFOLLOW, mode));
      result = opened < 0 ? -errno : opened;
      break;
    }
    int next = openat(at, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (next < 0) {
      result = -errno;
      break;
    }
    if (at != directory) close(at);
    at = next;
    path = rest;
  }
  if (at != directory) close(at);
  return result;
}

static int open_checked(int directory, const char *path, int flags, uint64_t resolve) {
  mode_t mode = flags & O_CREAT ? 0600 : 0;
  struct open_how how = {.flags = (uint64_t)flags, .mode = mode, .resolve = resolve};
  int tries = 0;
  int opened;
  do {
    opened = FAULTY(SLUICE_FAULT_OPEN, (int)syscall(SYS_openat2, directory, path, &how, sizeof how));
  } while (opened < 0 && (errno == EINTR || (errno == EAGAIN && ++tries < most_tries)));
  if (opened >= 0) return opened;
  // EPERM is what seccomp filters give, which know no system call of that number; of a file's own it comes again.
  if (errno == ENOSYS || errno == EPERM) {
    return open_by_steps(directory, path, flags, mode, (resolve & RESOLVE_BENEATH) != 0);
  }
  return -errno;
}

int sluice_open_beneath(int directory, const char *path, enum sluice_beneath how) {
  int flags = O_CLOEXEC | O_NOFOLLOW;
  switch (how) {
    case SLUICE_BENEATH_LOOK:
      flags |= O_PATH;
      break;
    case SLUICE_BENEATH_DIRECTORY:
      flags |= O_RDONLY | O_DIRECTORY;
      break;
    case SLUICE_BENEATH_CREATE:
      flags |= O_RDWR | O_CREAT | O_EXCL;
      break;
    case SLUICE_BENEATH_CREATE_DIRECT:
      flags |= O_RDWR | O_CREAT | O_EXCL | O_DIRECT;
      break;
  }
  return open_checked(directory, path, flags, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
}

int sluice_open_way(int directory, const char *path) {
  return open_checked(
      directory, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
}

/// A path that a user has named, as far as it was followed.
struct walk {
  /// Where it is: a directory, only to go on from there (O_PATH).
  int at;
  int links;
  /// What is left of it.
  char rest[2 * PATH_MAX];
  struct sluice_refused_link *refused;
};

enum { most_links = 40 };  // as the kernel follows

static int enter(int directory, const char *path, int flags) {
  int opened = TEMP_FAILURE_RETRY(FAULTY(SLUICE_FAULT_OPEN, openat(directory, path, O_PATH | O_CLOEXEC | flags)));
  return opened < 0 ? -errno : opened;
}

static void move_to(struct walk *walk, int directory) {
  if (walk->at != AT_FDCWD) close(walk->at);
  walk->at = directory;
}

static bool is_ours(uid_t user) { return user == 0 || user == geteuid(); }

/// Whether nobody but us and root has had a hand in a link: nobody else owns it, or could have put it where it is.
static int check_link(struct walk *walk, const char *name, uid_t owner) {
  struct stat around;
  if (is_ours(owner)) return 0;
  if (FAULTY(SLUICE_FAULT_FILE_STATUS, fstatat(walk->at, "", &around, AT_EMPTY_PATH)) < 0) return -errno;
  if (is_ours(around.st_uid) && (around.st_mode & (S_IWGRP | S_IWOTH)) == 0) return 0;
  snprintf(walk->refused->name, sizeof walk->refused->name, "%s", name);
  walk->refused->user = (uint32_t)owner;
  return -EACCES;
}

/// Goes where a link says, or into what the kernel alone links to (/proc/self/fd).
static int follow_link(struct walk *walk, const char *name, int link) {
  struct stat status;
  struct statfs filesystem;
  if (FAULTY(SLUICE_FAULT_FILE_STATUS, fstat(link, &status)) < 0) return -errno;
  if (!S_ISLNK(status.st_mode)) return -ENOTDIR;
  if (++walk->links > most_links) return -ELOOP;
  if (FAULTY(SLUICE_FAULT_FILE_SYSTEM, fstatfs(link, &filesystem)) < 0) return -errno;
  if (filesystem.f_type == PROC_SUPER_MAGIC) {
    int opened = enter(walk->at, name, O_DIRECTORY);
    if (opened >= 0) move_to(walk, opened);
    return opened < 0 ? opened : 0;
  }
  int refused = check_link(walk, name, status.st_uid);
  if (refused != 0) return refused;
  char text[2 * PATH_MAX];
  ssize_t length = FAULTY(SLUICE_FAULT_READ_LINK, readlinkat(link, "", text, PATH_MAX));
  if (length < 0) return -errno;
  size_t rest = strlen(walk->rest);
  if ((size_t)length + rest + 2 > sizeof text) return -ENAMETOOLONG;
  text[length] = '/';
  memcpy(text + length + 1, walk->rest, rest + 1);
  memcpy(walk->rest, text, (size_t)length + rest + 2);
  if (text[0] != '/') return 0;
  int root = enter(AT_FDCWD, "/", O_DIRECTORY);
  if (root >= 0) move_to(walk, root);
  return root < 0 ? root : 0;
}

/// Goes on by one component.
static int step(struct walk *walk, const char *name) {
  int opened = enter(walk->at, name, O_DIRECTORY | O_NOFOLLOW);
  if (opened >= 0) move_to(walk, opened);
  if (opened != -ENOTDIR && opened != -ELOOP) return opened < 0 ? opened : 0;
  int link = enter(walk->at, name, O_NOFOLLOW);
  if (link < 0) return link;
  int result = follow_link(walk, name, link);
  close(link);
  return result;
}

static int walk_rest(struct walk *walk) {
  for (;;) {
    char name[NAME_MAX + 1];
    char *begin = walk->rest + strspn(walk->rest, "/");
    size_t length = strcspn(begin, "/");
    if (length == 0) return 0;
    if (length > NAME_MAX) return -ENAMETOOLONG;
    memcpy(name, begin, length);
    name[length] = '\0';
    memmove(walk->rest, begin + length, strlen(begin + length) + 1);
    int result = step(walk, name);
    if (result != 0) return result;
  }
}

int sluice_open_named(const char *path, struct sluice_refused_link *refused) {
  struct walk walk = {.at = AT_FDCWD, .refused = refused};
  refused->name[0] = '\0';
  if (*path == '\0') return -ENOENT;
  if (strlen(path) >= PATH_MAX) return -ENAMETOOLONG;
  strcpy(walk.rest, path);
  int begin = enter(AT_FDCWD, *path == '/' ? "/" : ".", O_DIRECTORY);
  if (begin < 0) return begin;
  move_to(&walk, begin);
  int result = walk_rest(&walk);
  if (result == 0) {
    int opened = TEMP_FAILURE_RETRY(
        FAULTY(SLUICE_FAULT_OPEN, openat(walk.at, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)));
    result = opened < 0 ? -errno : opened;
  }
  close(walk.at);
  return result;
}

int sluice_reopen(int descriptor, enum sluice_access access) {
  int flags = O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
  switch (access) {
    case SLUICE_ACCESS_READ:
      flags |= O_RDONLY;
      break;
    case SLUICE_ACCESS_READ_WRITE:
      flags |= O_RDWR;
      break;
    case SLUICE_ACCESS_APPEND:
      flags |= O_WRONLY | O_APPEND;
      break;
  }
  char path[32];
  snprintf(path, sizeof path, "/proc/self/fd/%d", descriptor);
  int opened = TEMP_FAILURE_RETRY(open(path, flags));
  return opened < 0 ? -errno : opened;
}

int sluice_open_log(int directory, const char *path) {
  int flags = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
  int opened = TEMP_FAILURE_RETRY(openat(directory, path, flags, 0644));
  if (opened < 0) return -errno;
  // A pipe or a terminal is waited for when there is something to write.
  if (fcntl(opened, F_SETFL, O_APPEND) < 0) {
    int error = errno;
    close(opened);
    return -error;
  }
  return opened;
}

int sluice_status_of(int descriptor, struct sluice_file_status *status) {
  struct stat found;
  if (FAULTY(SLUICE_FAULT_FILE_STATUS, fstat(descriptor, &found)) < 0) return -errno;
  *status = (struct sluice_file_status){
      .device = (uint64_t)found.st_dev,
      .number = (uint64_t)found.st_ino,
      .byte_count = (uint64_t)found.st_size,
      // In units of 512 bytes whatever the filesystem's own block is: stat(2).
      .allocated_bytes = (uint64_t)found.st_blocks * 512,
      .link_count = (uint64_t)found.st_nlink,
      .mode = (uint32_t)found.st_mode,
      .user = (uint32_t)found.st_uid,
      .group = (uint32_t)found.st_gid,
  };
  return 0;
}

uint32_t sluice_effective_user(void) { return (uint32_t)geteuid(); }

uint32_t sluice_effective_group(void) { return (uint32_t)getegid(); }

int sluice_set_mode(int descriptor, uint32_t mode) { return fchmod(descriptor, (mode_t)mode) < 0 ? -errno : 0; }

int sluice_duplicate(int descriptor) {
  int copy = fcntl(descriptor, F_DUPFD_CLOEXEC, 0);
  return copy < 0 ? -errno : copy;
}
