#define _GNU_SOURCE
#include "requests.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "disk.h"

// The kernel may believe what it was told: nobody else changes anything.
static const uint64_t VALID_SECONDS = 3600;

static const void *arguments(const struct fuse_in_header *request) { return request + 1; }

static void put(struct answer *answer, const void *bytes, size_t length) {
  memcpy(answer->data + answer->length, bytes, length);
  answer->length += length;
}

static void put_entry(struct answer *answer, const struct node *node) {
  struct fuse_entry_out entry = {
      .nodeid = node->number,
      .entry_valid = VALID_SECONDS,
      .attr_valid = VALID_SECONDS,
      .attr = disk_attributes(node),
  };
  put(answer, &entry, sizeof entry);
}

static void put_attributes(struct answer *answer, const struct node *node) {
  struct fuse_attr_out out = {.attr_valid = VALID_SECONDS, .attr = disk_attributes(node)};
  put(answer, &out, sizeof out);
}

static void put_open(struct answer *answer) {
  struct fuse_open_out out = {0};
  put(answer, &out, sizeof out);
}

static void begin(const struct fuse_init_in *in, struct answer *answer) {
  struct fuse_init_out out = {
      .major = FUSE_KERNEL_VERSION,
      .minor = FUSE_KERNEL_MINOR_VERSION,
      .max_readahead = in->max_readahead,
      // Reads of several pages that need not be waited for one by one; writes of up to a mebibyte.
      .flags = in->flags & (FUSE_ASYNC_READ | FUSE_BIG_WRITES | FUSE_MAX_PAGES | FUSE_PARALLEL_DIROPS),
      .max_background = 64,
      .congestion_threshold = 48,
      .max_write = MOST_DATA,
      .max_pages = MOST_DATA / 4096,
  };
  put(answer, &out, sizeof out);
}

static int make(
    struct node *directory, const char *name, uint32_t mode, const char *target,
    const struct fuse_in_header *request, struct answer *answer) {
  if (disk_find(directory, name) != NULL) return -EEXIST;
  struct node *node = disk_make(directory, name, mode, target);
  if (node == NULL) return -errno;
  node->user = request->uid;
  node->group = request->gid;
  put_entry(answer, node);
  return 0;
}

static int remove_name(struct node *directory, const char *name) {
  struct node *node = disk_find(directory, name);
  if (node == NULL) return -ENOENT;
  uint64_t index = 0;
  if (S_ISDIR(node->mode) && disk_next(node, &index) != NULL) return -ENOTEMPTY;
  node->parent = NULL;
  node->links = 0;
  return 0;
}

static int rename_to(struct node *from, struct node *to, const char *name, uint32_t flags) {
  const char *other = name + strlen(name) + 1;
  struct node *node = disk_find(from, name);
  if (node == NULL || to == NULL) return -ENOENT;
  if (flags != 0) return -EINVAL;
  if (disk_find(to, other) != NULL) remove_name(to, other);
  node->parent = to;
  snprintf(node->name, sizeof node->name, "%s", other);
  return 0;
}

static int set_attributes(struct node *node, const struct fuse_setattr_in *in, struct answer *answer) {
  if (in->valid & FATTR_SIZE && ftruncate(node->file, (off_t)in->size) != 0) return -errno;
  if (in->valid & FATTR_MODE) node->mode = (node->mode & S_IFMT) | (in->mode & 07777);
  if (in->valid & FATTR_UID) node->user = in->uid;
  if (in->valid & FATTR_GID) node->group = in->gid;
  put_attributes(answer, node);
  return 0;
}

static int read_file(const struct node *node, const struct fuse_read_in *in, struct answer *answer) {
  ssize_t count = pread(node->file, answer->data, in->size, (off_t)in->offset);
  if (count < 0) return -errno;
  answer->length = (size_t)count;
  return 0;
}

static int write_file(const struct node *node, const struct fuse_write_in *in, struct answer *answer) {
  ssize_t count = pwrite(node->file, in + 1, in->size, (off_t)in->offset);
  if (count < 0) return -errno;
  struct fuse_write_out out = {.size = (uint32_t)count};
  put(answer, &out, sizeof out);
  return 0;
}

static int list(const struct node *directory, const struct fuse_read_in *in, struct answer *answer) {
  uint64_t index = in->offset;
  const struct node *node;
  while ((node = disk_next(directory, &index)) != NULL) {
    size_t length = strlen(node->name);
    size_t size = FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET + length);
    if (answer->length + size > in->size) break;
    struct fuse_dirent *entry = (struct fuse_dirent *)(answer->data + answer->length);
    memset(entry, 0, size);
    entry->ino = node->number;
    entry->off = index;
    entry->namelen = (uint32_t)length;
    entry->type = node->mode >> 12;
    memcpy(entry->name, node->name, length);
    answer->length += size;
  }
  return 0;
}

static void put_space(struct answer *answer) {
  struct fuse_statfs_out out = {
      .st = {.blocks = 1 << 28, .bfree = 1 << 28, .bavail = 1 << 28, .bsize = 4096, .frsize = 4096, .namelen = 255}};
  put(answer, &out, sizeof out);
}

static int create(struct node *directory, const struct fuse_in_header *request, struct answer *answer) {
  const struct fuse_create_in *in = arguments(request);
  int error = make(directory, (const char *)(in + 1), S_IFREG | (in->mode & 07777), NULL, request, answer);
  if (error == 0) put_open(answer);
  return error;
}

static int allocate(const struct node *node, const struct fuse_fallocate_in *in) {
  return fallocate(node->file, (int)in->mode, (off_t)in->offset, (off_t)in->length) == 0 ? 0 : -errno;
}

static int look_up(const struct node *directory, const char *name, struct answer *answer) {
  const struct node *found = disk_find(directory, name);
  if (found == NULL) return -ENOENT;
  put_entry(answer, found);
  return 0;
}

static int do_on_node(struct node *node, const struct fuse_in_header *request, struct answer *answer) {
  const void *in = arguments(request);
  const char *name = in;
  switch (request->opcode) {
    case FUSE_LOOKUP:
      return look_up(node, name, answer);
    case FUSE_GETATTR:
      put_attributes(answer, node);
      return 0;
    case FUSE_SETATTR:
      return set_attributes(node, in, answer);
    case FUSE_READLINK:
      if (node->target == NULL) return -EINVAL;
      put(answer, node->target, strlen(node->target));
      return 0;
    case FUSE_SYMLINK:
      return make(node, name, S_IFLNK | 0777, name + strlen(name) + 1, request, answer);
    case FUSE_MKDIR: {
      const struct fuse_mkdir_in *mkdir = in;
      return make(node, (const char *)(mkdir + 1), S_IFDIR | (mkdir->mode & 07777), NULL, request, answer);
    }
    case FUSE_UNLINK:
    case FUSE_RMDIR:
      return remove_name(node, name);
    case FUSE_RENAME: {
      const struct fuse_rename_in *rename = in;
      return rename_to(node, disk_node(rename->newdir), (const char *)(rename + 1), 0);
    }
    case FUSE_RENAME2: {
      const struct fuse_rename2_in *rename = in;
      return rename_to(node, disk_node(rename->newdir), (const char *)(rename + 1), rename->flags);
    }
    case FUSE_CREATE:
      return create(node, request, answer);
    case FUSE_OPEN:
    case FUSE_OPENDIR:
      put_open(answer);
      return 0;
    case FUSE_READ:
      return read_file(node, in, answer);
    case FUSE_WRITE:
      return write_file(node, in, answer);
    case FUSE_READDIR:
      return list(node, in, answer);
    case FUSE_FALLOCATE:
      return allocate(node, in);
    case FUSE_STATFS:
      put_space(answer);
      return 0;
    case FUSE_FLUSH:
    case FUSE_FSYNC:
    case FUSE_FSYNCDIR:
    case FUSE_RELEASE:
    case FUSE_RELEASEDIR:
      return 0;
    default:
      return -ENOSYS;
  }
}

void requests_do(const struct fuse_in_header *request, struct answer *answer) {
  // Not the data, which is long.
  answer->error = 0;
  answer->silent = false;
  answer->length = 0;
  switch (request->opcode) {
    case FUSE_FORGET:
    case FUSE_BATCH_FORGET:
    case FUSE_INTERRUPT:
      answer->silent = true;
      return;
    case FUSE_INIT:
      begin(arguments(request), answer);
      return;
    case FUSE_DESTROY:
      return;
  }
  struct node *node = disk_node(request->nodeid);
  answer->error = node == NULL ? -ENOENT : do_on_node(node, request, answer);
  if (answer->error != 0) answer->length = 0;
}

uint64_t requests_byte_count(const struct fuse_in_header *request) {
  switch (request->opcode) {
    case FUSE_WRITE:
      return ((const struct fuse_write_in *)arguments(request))->size;
    case FUSE_READ:
      return ((const struct fuse_read_in *)arguments(request))->size;
    default:
      return 0;
  }
}
