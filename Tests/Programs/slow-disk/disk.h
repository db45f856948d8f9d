// The files and directories of the disk, in memory.
#ifndef DISK_H
#define DISK_H

#include <linux/fuse.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { NAME_BYTES = 256, NODES = 4096 };

/// Anything that has a name. None is ever forgotten: a test makes few.
struct node {
  uint64_t number; // from 1 on, which is the root
  struct node *parent; // NULL where the name is gone
  char name[NAME_BYTES];
  char *target; // of a link
  int file; // of a regular file: a memfd, which holds what is in it
  uint32_t mode, user, group, links;
};

/// Makes the root.
void disk_make_root(void);

/// The node of a number that the kernel was given.
struct node *disk_node(uint64_t number);

/// What has this name in a directory; NULL where nothing has.
struct node *disk_find(const struct node *directory, const char *name);

/// Makes something. NULL where there are too many, with errno.
struct node *disk_make(struct node *directory, const char *name, uint32_t mode, const char *target);

/// What comes after so many others of a directory; NULL at the end. `index` goes on.
const struct node *disk_next(const struct node *directory, uint64_t *index);

/// What stat(2) tells of it.
struct fuse_attr disk_attributes(const struct node *node);

#endif
