#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "faults.h"
#include "sluice_cgroup.h"
#include "sluice_files.h"

int sluice_current_directory(void) { return AT_FDCWD; }

int sluice_open_at(int directory, const char *path, enum sluice_open_mode mode) {
  int flags = O_CLOEXEC;
  switch (mode) {
    case SLUICE_OPEN_READ:
    case SLUICE_OPEN_READ_IF_ALLOWED:
      flags |= O_RDONLY;
      break;
    case SLUICE_OPEN_WRITE:
      flags |= O_WRONLY;
      break;
    case SLUICE_OPEN_READ_WRITE:
      flags |= O_RDWR;
      break;
    case SLUICE_OPEN_CREATE:
      flags |= O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW;
      break;
    case SLUICE_OPEN_CREATE_DIRECT:
      flags |= O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_DIRECT;
      break;
    case SLUICE_OPEN_DIRECTORY:
      flags |= O_RDONLY | O_DIRECTORY;
      break;
  }
  bool is_needed = mode != SLUICE_OPEN_READ_IF_ALLOWED;
  int descriptor = TEMP_FAILURE_RETRY(
      FAULTY(is_needed ? SLUICE_FAULT_OPEN : SLUICE_FAULT_OPEN_IF_ALLOWED, openat(directory, path, flags, 0600)));
  (void)is_needed;
  return descriptor < 0 ? -errno : descriptor;
}

int sluice_close(int descriptor) { return close(descriptor) < 0 ? -errno : 0; }

ssize_t sluice_read(int descriptor, void *bytes, size_t count) {
  ssize_t done = TEMP_FAILURE_RETRY(FAULTY_COUNT(SLUICE_FAULT_READ, count, read(descriptor, bytes, count)));
  return done < 0 ? -errno : done;
}

ssize_t sluice_pread(int descriptor, void *bytes, size_t count, uint64_t offset) {
  ssize_t done = TEMP_FAILURE_RETRY(
      FAULTY_COUNT(SLUICE_FAULT_PREAD, count, pread(descriptor, bytes, count, (off_t)offset)));
  return done < 0 ? -errno : done;
}

ssize_t sluice_write(int descriptor, const void *bytes, size_t count) {
  ssize_t done = TEMP_FAILURE_RETRY(FAULTY_COUNT(SLUICE_FAULT_WRITE, count, write(descriptor, bytes, count)));
  return done < 0 ? -errno : done;
}

ssize_t sluice_pwrite(int descriptor, const void *bytes, size_t count, uint64_t offset) {
  ssize_t done = TEMP_FAILURE_RETRY(
      FAULTY_COUNT(SLUICE_FAULT_PWRITE, count, pwrite(descriptor, bytes, count, (off_t)offset)));
  return done < 0 ? -errno : done;
}

int sluice_fsync(int descriptor) { return TEMP_FAILURE_RETRY(FAULTY(SLUICE_FAULT_FSYNC, fsync(descriptor))) < 0 ? -errno : 0; }

/// Filesystems are told of each close of each descriptor of a file, so that of a copy does for the file's own.
static int close_a_copy(int descriptor) {
  int copy = fcntl(descriptor, F_DUPFD_CLOEXEC, 0);
  return copy < 0 ? -1 : close(copy);
}

int sluice_flush(int descriptor) {
  return TEMP_FAILURE_RETRY(FAULTY(SLUICE_FAULT_FLUSH, close_a_copy(descriptor))) < 0 ? -errno : 0;
}

int sluice_set_file_size(int descriptor, uint64_t size) {
  int result = TEMP_FAILURE_RETRY(FAULTY(SLUICE_FAULT_TRUNCATE, ftruncate(descriptor, (off_t)size)));
  return result < 0 ? -errno : 0;
}

int sluice_allocate(int descriptor, uint64_t offset, uint64_t count) {
  int result = TEMP_FAILURE_RETRY(
      FAULTY(SLUICE_FAULT_ALLOCATE, fallocate(descriptor, 0, (off_t)offset, (off_t)count)));
  return result < 0 ? -errno : 0;
}

int sluice_punch_hole(int descriptor, uint64_t offset, uint64_t count) {
  int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
  int result = TEMP_FAILURE_RETRY(
      FAULTY(SLUICE_FAULT_ALLOCATE, fallocate(descriptor, mode, (off_t)offset, (off_t)count)));
  return result < 0 ? -errno : 0;
}

int sluice_start_writeback(int descriptor, uint64_t offset, uint64_t count) {
  int result = FAULTY(SLUICE_FAULT_START_WRITEBACK,
                      sync_file_range(descriptor, (off_t)offset, (off_t)count, SYNC_FILE_RANGE_WRITE));
  return result < 0 ? -errno : 0;
}

int sluice_finish_writeback(int descriptor, uint64_t offset, uint64_t count) {
  unsigned flags = SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;
  int result = FAULTY(SLUICE_FAULT_FINISH_WRITEBACK,
                      sync_file_range(descriptor, (off_t)offset, (off_t)count, flags));
  if (result < 0) return -errno;
  // posix_fadvise returns its error instead of setting errno.
  return FAULTY_RESULT(SLUICE_FAULT_DROP_CACHE,
                       -posix_fadvise(descriptor, (off_t)offset, (off_t)count, POSIX_FADV_DONTNEED));
}

int sluice_is_in_memory(int descriptor) {
  struct statfs filesystem;
  if (FAULTY(SLUICE_FAULT_FILE_SYSTEM, fstatfs(descriptor, &filesystem)) < 0) return -errno;
  return filesystem.f_type == TMPFS_MAGIC || filesystem.f_type == RAMFS_MAGIC;
}

int64_t sluice_file_size(int descriptor) {
  struct stat status;
  return FAULTY(SLUICE_FAULT_FILE_STATUS, fstat(descriptor, &status)) < 0 ? -errno : (int64_t)status.st_size;
}

int64_t sluice_next_data(int descriptor, uint64_t offset) {
  off_t data = FAULTY(SLUICE_FAULT_FILE_STATUS, lseek(descriptor, (off_t)offset, SEEK_DATA));
  return data < 0 ? -errno : (int64_t)data;
}

int64_t sluice_file_allocated(int descriptor) {
  struct stat status;
  // st_blocks counts units of 512 bytes whatever the filesystem's own block is: stat(2).
  return FAULTY(SLUICE_FAULT_FILE_STATUS, fstat(descriptor, &status)) < 0 ? -errno : (int64_t)status.st_blocks * 512;
}

int sluice_is_regular_file(const char *path) {
  struct statx status;
  int result = FAULTY(SLUICE_FAULT_FILE_STATUS, statx(AT_FDCWD, path, AT_STATX_DONT_SYNC, STATX_TYPE, &status));
  return result < 0 ? -errno : S_ISREG(status.stx_mode);
}

int sluice_link_may_be_written(const char *path) {
  struct stat status;
  return FAULTY(SLUICE_FAULT_FILE_STATUS, lstat(path, &status)) < 0 ? -errno : (status.st_mode & S_IWUSR) != 0;
}

int sluice_mkdir(int directory, const char *path, unsigned mode) {
  return FAULTY(SLUICE_FAULT_MAKE_DIRECTORY, mkdirat(directory, path, (mode_t)mode)) < 0 ? -errno : 0;
}

int sluice_give(int descriptor, uint32_t user, uint32_t group) {
  return fchown(descriptor, (uid_t)user, (gid_t)group) < 0 ? -errno : 0;
}

int sluice_rename_at(int directory, const char *from, const char *to) {
  return FAULTY(SLUICE_FAULT_RENAME, renameat(directory, from, directory, to)) < 0 ? -errno : 0;
}

int sluice_unlink_at(int directory, const char *path, bool is_directory) {
  int flags = is_directory ? AT_REMOVEDIR : 0;
  return FAULTY(SLUICE_FAULT_UNLINK, unlinkat(directory, path, flags)) < 0 ? -errno : 0;
}

ssize_t sluice_read_link_at(int directory, const char *path, char *text, size_t capacity) {
  ssize_t length = FAULTY(SLUICE_FAULT_READ_LINK, readlinkat(directory, path, text, capacity));
  return length < 0 ? -errno : length;
}

int sluice_symlink_at(const char *text, int directory, const char *path) {
  return FAULTY(SLUICE_FAULT_MAKE_LINK, symlinkat(text, directory, path)) < 0 ? -errno : 0;
}

int sluice_leave_direct(int descriptor) {
  int flags = fcntl(descriptor, F_GETFL);
  return flags < 0 || fcntl(descriptor, F_SETFL, flags & ~O_DIRECT) < 0 ? -errno : 0;
}

int sluice_create_unnamed(int directory, bool direct) {
  int flags = O_TMPFILE | O_RDWR | O_CLOEXEC | (direct ? O_DIRECT : 0);
  int file = TEMP_FAILURE_RETRY(FAULTY(SLUICE_FAULT_OPEN, openat(directory, ".", flags, 0600)));
  return file < 0 ? -errno : file;
}

int sluice_name_unnamed(int file, int directory, const char *name) {
  char path[40];
  snprintf(path, sizeof path, "/proc/self/fd/%d", file);
  int result = FAULTY(SLUICE_FAULT_MAKE_LINK, linkat(AT_FDCWD, path, directory, name, AT_SYMLINK_FOLLOW));
  return result < 0 ? -errno : 0;
}

int sluice_rename_new(int directory, const char *from, const char *to) {
  int result = FAULTY(SLUICE_FAULT_RENAME, renameat2(directory, from, directory, to, RENAME_NOREPLACE));
  return result < 0 ? -errno : 0;
}

int sluice_link_at(int directory, const char *from, const char *to) {
  if (FAULTY(SLUICE_FAULT_MAKE_LINK, linkat(directory, from, directory, to, 0)) < 0) return -errno;
  return sluice_unlink_at(directory, from, false);
}

int64_t sluice_next_hole(int descriptor, uint64_t offset) {
  off_t hole = FAULTY(SLUICE_FAULT_FILE_STATUS, lseek(descriptor, (off_t)offset, SEEK_HOLE));
  return hole < 0 ? -errno : (int64_t)hole;
}

int sluice_zero(int descriptor, uint64_t offset, uint64_t count) {
  int result = sluice_punch_hole(descriptor, offset, count);
  if (result != -EOPNOTSUPP && result != -ENOSYS) return result;
  // For files that are written past the page cache as well.
  static _Alignas(4096) const char zeros[64 << 10];
  while (count > 0) {
    size_t part = count < sizeof zeros ? (size_t)count : sizeof zeros;
    ssize_t done = sluice_pwrite(descriptor, zeros, part, offset);
    if (done <= 0) return done < 0 ? (int)done : -EIO;
    offset += (uint64_t)done;
    count -= (uint64_t)done;
  }
  return 0;
}

int sluice_lock_exclusively(int descriptor) {
  return FAULTY(SLUICE_FAULT_LOCK, flock(descriptor, LOCK_EX | LOCK_NB)) < 0 ? -errno : 0;
}

/// Lists what is in a directory, or what the filesystem says is a directory in it.
static int list(
    int directory, bool only_directories, void *context, void (*visit)(void *context, const char *name)) {
  // A descriptor of its own: fdopendir takes it over, and its position is then nobody else's.
  int own = FAULTY(SLUICE_FAULT_LIST_DIRECTORY, openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (own < 0) return -errno;
  DIR *stream = fdopendir(own);
  if (stream == NULL) {
    int error = errno;
    close(own);
    return -error;
  }
  for (;;) {
    errno = 0;
    struct dirent *entry = readdir(stream);
    if (entry == NULL) break;
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    if (only_directories && entry->d_type != DT_DIR) continue;
    visit(context, entry->d_name);
  }
  int error = errno;
  closedir(stream);
  return -error;
}

int sluice_list_directory(int directory, void *context, void (*visit)(void *context, const char *name)) {
  return list(directory, false, context, visit);
}

int sluice_list_cgroups(int directory, void *context, void (*visit)(void *context, const char *name)) {
  // The kernel tells the kind of what is in such a filesystem (kernfs), whose only directories are cgroups.
  return list(directory, true, context, visit);
}
