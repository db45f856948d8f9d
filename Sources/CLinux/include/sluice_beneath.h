// Opening what is in a directory that somebody else may write: below it, through no link, and only what is known.
#ifndef SLUICE_BENEATH_H
#define SLUICE_BENEATH_H

#include <stdint.h>

/// How `sluice_open_beneath` opens.
enum sluice_beneath {
  /// Whatever it is, without opening it (O_PATH): neither a FIFO nor a device notices. A link is itself.
  SLUICE_BENEATH_LOOK = 0,
  /// A directory.
  SLUICE_BENEATH_DIRECTORY = 1,
  /// A new file, mode 0600, for reading and writing.
  SLUICE_BENEATH_CREATE = 2,
  /// The same for I/O that goes past the page cache (O_DIRECT). EINVAL where the filesystem has none; the file may
  /// then have been created all the same.
  SLUICE_BENEATH_CREATE_DIRECT = 3,
};

/// Opens what is at a path below a directory: with openat2(2) where the kernel has it, and step by step where it has not,
/// or a seccomp filter forbids it. A path that leads out of the directory gives EXDEV, a link on the way ELOOP.
///
/// Returns a descriptor or -errno.
int sluice_open_beneath(int directory, const char *path, enum sluice_beneath how);

/// Opens the directory that a path leads to, upwards and from the root, too, but through no link; relative ones begin at
/// a directory. Works as `sluice_open_beneath` does.
///
/// Returns a descriptor or -errno.
int sluice_open_way(int directory, const char *path);

/// A link that was not followed; with an empty name, none.
struct sluice_refused_link {
  char name[256];
  /// Whose it is.
  uint32_t user;
};

/// Opens the directory at a path that a user has named. Links on the way are followed, but for those that belong to
/// neither us nor root, where somebody else may write the directory that they are in, or owns it: that gives EACCES, and
/// `refused` tells which it was. So the kernel does in /tmp (/proc/sys/fs/protected_symlinks).
///
/// Returns a descriptor or -errno.
int sluice_open_named(const char *path, struct sluice_refused_link *refused);

/// For what `sluice_reopen` opens.
enum sluice_access {
  SLUICE_ACCESS_READ = 0,
  SLUICE_ACCESS_READ_WRITE = 1,
  /// All writes go to the end (O_APPEND).
  SLUICE_ACCESS_APPEND = 2,
};

/// Opens, by its descriptor, a file that was looked at: the same one, whatever became of its name. It does not wait
/// for leases (O_NONBLOCK). Needs /proc.
///
/// Returns a descriptor or -errno.
int sluice_reopen(int descriptor, enum sluice_access access);

/// Opens a file to add to its end, whatever the name leads to, and makes it where there is none. A FIFO that nobody reads
/// gives ENXIO instead of keeping us waiting.
///
/// Returns a descriptor or -errno.
int sluice_open_log(int directory, const char *path);

/// What fstat(2) says of a file.
struct sluice_file_status {
  uint64_t device;
  uint64_t number;
  uint64_t byte_count;
  /// What it takes on its disk.
  uint64_t allocated_bytes;
  uint64_t link_count;
  uint32_t mode;
  uint32_t user;
  uint32_t group;
};

/// Returns 0 or -errno.
int sluice_status_of(int descriptor, struct sluice_file_status *status);

/// The user as whom this process makes files (geteuid), and the group.
uint32_t sluice_effective_user(void);
uint32_t sluice_effective_group(void);

/// fchmod(2). Returns 0 or -errno.
int sluice_set_mode(int descriptor, uint32_t mode);

/// Another descriptor of what is open (fcntl F_DUPFD_CLOEXEC). Returns it or -errno.
int sluice_duplicate(int descriptor);

#endif
