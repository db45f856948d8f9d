#define _GNU_SOURCE
#include "disk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

static struct node nodes[NODES];
static uint64_t count;

void disk_make_root(void) {
  nodes[0] = (struct node){.number = FUSE_ROOT_ID, .file = -1, .mode = S_IFDIR | 0755, .links = 2};
  count = 1;
}

struct node *disk_node(uint64_t number) { return number >= 1 && number <= count ? &nodes[number - 1] : NULL; }

struct node *disk_find(const struct node *directory, const char *name) {
  for (uint64_t i = 1; i < count; i++) {
    if (nodes[i].parent == directory && strcmp(nodes[i].name, name) == 0) return &nodes[i];
  }
  return NULL;
}

struct node *disk_make(struct node *directory, const char *name, uint32_t mode, const char *target) {
  if (count == NODES || strlen(name) >= NAME_BYTES) {
    errno = ENOSPC;
    return NULL;
  }
  int file = S_ISREG(mode) ? memfd_create("slow-disk", MFD_CLOEXEC) : -1;
  if (S_ISREG(mode) && file < 0) return NULL;
  struct node *node = &nodes[count];
  *node = (struct node){.number = ++count, .parent = directory, .file = file, .mode = mode, .links = 1};
  strcpy(node->name, name);
  node->target = target != NULL ? strdup(target) : NULL;
  return node;
}

const struct node *disk_next(const struct node *directory, uint64_t *index) {
  while (*index < count) {
    const struct node *node = &nodes[(*index)++];
    if (node->parent == directory) return node;
  }
  return NULL;
}

struct fuse_attr disk_attributes(const struct node *node) {
  struct stat status = {0};
  if (node->file >= 0 && fstat(node->file, &status) != 0) perror("fstat");
  if (node->target != NULL) status.st_size = (off_t)strlen(node->target);
  return (struct fuse_attr){
      .ino = node->number,
      .size = (uint64_t)status.st_size,
      .blocks = (uint64_t)status.st_blocks,
      .mode = node->mode,
      .nlink = node->links,
      .uid = node->user,
      .gid = node->group,
      .blksize = 4096,
  };
}
