// Files and directories. All descriptors are opened close-on-exec.
#ifndef SLUICE_FILES_H
#define SLUICE_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/// How `sluice_open_at` opens a file.
enum sluice_open_mode {
  SLUICE_OPEN_READ = 0,
  /// Reads and writes an existing file, as /proc/PID/clear_refs (write only) wants it.
  SLUICE_OPEN_WRITE = 1,
  /// Creates a file that must not exist yet, mode 0600.
  SLUICE_OPEN_CREATE = 2,
  SLUICE_OPEN_DIRECTORY = 3,
  /// As SLUICE_OPEN_CREATE, for I/O that goes past the page cache (O_DIRECT). EINVAL where the filesystem
  /// has none; the file may then have been created all the same.
  SLUICE_OPEN_CREATE_DIRECT = 4,
  SLUICE_OPEN_READ_WRITE = 5,
  /// As SLUICE_OPEN_READ, of what we need not be allowed to read.
  SLUICE_OPEN_READ_IF_ALLOWED = 6,
};

/// Stands for the current working directory where a directory descriptor is asked for.
int sluice_current_directory(void);

/// openat(2). Returns a descriptor or -errno.
int sluice_open_at(int directory, const char *path, enum sluice_open_mode mode);

int sluice_close(int descriptor);

/// read(2), repeated after EINTR. Returns the bytes read (0 at the end) or -errno.
ssize_t sluice_read(int descriptor, void *bytes, size_t count);

/// pread(2), repeated after EINTR. Returns the bytes read (0 at the end) or -errno.
ssize_t sluice_pread(int descriptor, void *bytes, size_t count, uint64_t offset);

/// write(2), repeated after EINTR. Returns the bytes written, which may be fewer, or -errno.
ssize_t sluice_write(int descriptor, const void *bytes, size_t count);

/// pwrite(2), repeated after EINTR. Returns the bytes written, which may be fewer, or -errno.
ssize_t sluice_pwrite(int descriptor, const void *bytes, size_t count, uint64_t offset);

/// fsync(2), repeated after EINTR, which filesystems in user space and over networks give.
int sluice_fsync(int descriptor);

/// Has a filesystem tell what it tells when a file is closed (close(2)), and leaves the descriptor open: where nothing is
/// synced, those on the network and in user space tell only then that what was written is lost.
///
/// Returns 0 or -errno.
int sluice_flush(int descriptor);

/// ftruncate(2): gives the file exactly this size.
int sluice_set_file_size(int descriptor, uint64_t size);

/// Allocates space, and makes the file as long, if need be. EOPNOTSUPP where the filesystem cannot.
int sluice_allocate(int descriptor, uint64_t offset, uint64_t count);

/// Has a range read as zeros, at the cost of no space where the filesystem can. Offsets are multiples of the page size.
int sluice_zero(int descriptor, uint64_t offset, uint64_t count);

/// Gives the space of a range back to the filesystem; the range then reads as zeros.
int sluice_punch_hole(int descriptor, uint64_t offset, uint64_t count);

/// Starts writing a range of the page cache to the disk, without waiting (sync_file_range).
int sluice_start_writeback(int descriptor, uint64_t offset, uint64_t count);

/// Waits until a range is on the disk, then drops it from the page cache.
int sluice_finish_writeback(int descriptor, uint64_t offset, uint64_t count);

/// 1 when the file lives in memory (tmpfs, ramfs), where there is nothing to write back; 0 or -errno.
int sluice_is_in_memory(int descriptor);

/// The file's size in bytes, or -errno.
int64_t sluice_file_size(int descriptor);

/// lseek(2) with SEEK_DATA: where the first bytes from an offset on are that are in no hole; ENXIO where none are.
int64_t sluice_next_data(int descriptor, uint64_t offset);

/// lseek(2) with SEEK_HOLE: where the first hole from an offset on begins, which may be the end of the file.
int64_t sluice_next_hole(int descriptor, uint64_t offset);

/// The bytes that the file takes on its disk (holes take none), or -errno.
int64_t sluice_file_allocated(int descriptor);

/// 1 when the path, links followed, leads to a regular file, 0 when to anything else, or -errno. What a
/// filesystem has to ask somebody else for is not asked: a dead server does not keep us waiting.
int sluice_is_regular_file(const char *path);

/// 1 when the link says that it may be written, 0 when not, or -errno. Those of /proc/PID/map_files say it of the file that
/// was mapped, as it was opened (fs/proc/base.c).
int sluice_link_may_be_written(const char *path);

/// mkdirat(2) with the given mode (subject to the umask).
int sluice_mkdir(int directory, const char *path, unsigned mode);

/// fchown(2): gives a file to a user and a group.
int sluice_give(int descriptor, uint32_t user, uint32_t group);

int sluice_rename_at(int directory, const char *from, const char *to);

/// Removes a file; with `is_directory`, an empty directory.
int sluice_unlink_at(int directory, const char *path, bool is_directory);

/// The same, unless there is something by the new name: EEXIST. EINVAL where the filesystem cannot tell.
int sluice_rename_new(int directory, const char *from, const char *to);

/// From now on I/O by this open file goes through the page cache. 0 or -errno.
int sluice_leave_direct(int descriptor);

/// Makes a file without a name, for reading and writing by its owner alone: it goes with its last descriptor (O_TMPFILE).
/// EOPNOTSUPP, or EISDIR before Linux 3.11, where the filesystem has none.
int sluice_create_unnamed(int directory, bool direct);

/// Gives such a file a name, which nothing may have yet: EEXIST. It takes /proc.
int sluice_name_unnamed(int file, int directory, const char *name);

/// Renames a file by another link, which is never made in the place of something: EEXIST.
int sluice_link_at(int directory, const char *from, const char *to);

/// symlinkat(2): makes the link `path` with this text.
int sluice_symlink_at(const char *text, int directory, const char *path);

/// readlinkat(2). Returns the text's length (no terminator is written) or -errno.
ssize_t sluice_read_link_at(int directory, const char *path, char *text, size_t capacity);

/// An exclusive flock(2) without waiting; -EWOULDBLOCK when another process holds it.
int sluice_lock_exclusively(int descriptor);

/// Calls `visit` with each name in the directory but "." and "..". Returns 0 or -errno.
int sluice_list_directory(int directory, void *context, void (*visit)(void *context, const char *name));

#endif
