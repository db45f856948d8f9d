#define _GNU_SOURCE
#include "first_cgroups.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

// Which hierarchy a mount, or a line of /proc/self/cgroup, is of.
enum hierarchy { NONE, UNIFIED, FREEZER, SYSTEMD };

// Whether a list with commas has an item.
static bool has_item(const char *list, const char *item) {
  size_t length = strlen(item);
  for (const char *at = list; (at = strstr(at, item)) != NULL; at += length) {
    bool begins = at == list || at[-1] == ',';
    if (begins && (at[length] == ',' || at[length] == '\0')) return true;
  }
  return false;
}

static enum hierarchy hierarchy_of(const char *controllers) {
  if (has_item(controllers, "freezer")) return FREEZER;
  return has_item(controllers, "name=systemd") ? SYSTEMD : NONE;
}

// Whether we are below the first cgroup of a hierarchy that is shown to us, and not that one's nor outside of it.
static bool is_below_first(enum hierarchy wanted) {
  FILE *file = fopen("/proc/self/cgroup", "re");
  if (file == NULL) return false;
  char *line = NULL;
  size_t room = 0;
  bool is_below = false;
  while (getline(&line, &room, file) > 0) {
    // NUMBER:CONTROLLERS:PATH, with no controllers for version 2. A path that leads out begins with "/..".
    char *controllers = strchr(line, ':');
    char *path = controllers == NULL ? NULL : strchr(controllers + 1, ':');
    if (path == NULL) continue;
    *path++ = '\0';
    controllers++;
    enum hierarchy found = *controllers == '\0' ? UNIFIED : hierarchy_of(controllers);
    if (found == wanted) is_below = strcmp(path, "/\n") != 0 && strncmp(path, "/..", 3) != 0;
  }
  free(line);
  fclose(file);
  return is_below;
}

// Opens the file in a mounted hierarchy; -1 where that may not be, or something else is there.
static int open_procs(const char *mount) {
  char path[PATH_MAX];
  if (snprintf(path, sizeof path, "%s/cgroup.procs", mount) >= (int)sizeof path) return -1;
  int file = open(path, O_WRONLY | O_CLOEXEC);
  struct statfs filesystem;
  if (file < 0) return -1;
  if (fstatfs(file, &filesystem) == 0 &&
      (filesystem.f_type == CGROUP2_SUPER_MAGIC || filesystem.f_type == CGROUP_SUPER_MAGIC))
    return file;
  close(file);
  return -1;
}

unsigned open_first_cgroups(int files[FIRST_CGROUPS_MOST]) {
  FILE *mounts = fopen("/proc/self/mountinfo", "re");
  if (mounts == NULL) return 0;
  char *line = NULL;
  size_t room = 0;
  unsigned count = 0, known = 0;
  while (count < FIRST_CGROUPS_MOST && getline(&line, &room, mounts) > 0) {
    // ID PARENT DEVICE ROOT MOUNT OPTIONS [MORE...] - KIND SOURCE OPTIONS
    char *end = strstr(line, " - "), root[8], *mount = NULL, kind[16], *options = NULL;
    enum hierarchy hierarchy = NONE;
    if (end != NULL && sscanf(line, "%*s %*s %*s %7s %ms", root, &mount) == 2 && strcmp(root, "/") == 0 &&
        sscanf(end, " - %15s %*s %ms", kind, &options) == 2) {
      if (strcmp(kind, "cgroup2") == 0) hierarchy = UNIFIED;
      if (strcmp(kind, "cgroup") == 0) hierarchy = hierarchy_of(options);
    }
    if (hierarchy != NONE && (known & 1U << hierarchy) == 0 && is_below_first(hierarchy)) {
      files[count] = open_procs(mount);
      if (files[count] >= 0) {
        known |= 1U << hierarchy;
        count++;
      }
    }
    free(mount);
    free(options);
  }
  free(line);
  fclose(mounts);
  return count;
}
