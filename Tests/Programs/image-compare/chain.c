#define _GNU_SOURCE
#include "chain.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "failure.h"
#include "inventory.h"
#include "pagemap.h"
#include "report.h"

enum { MOST_LEVELS = 300, IMAGE_MODE = 0600 };

struct level {
    char *path; // of the directory, for messages
    dev_t device;
    ino_t inode;
    uint64_t dump_uptime;
    struct pagemap *pagemap; // NULL: this level knows nothing of the process
    int pages;               // -1: there is no pages file
    struct entry current;
    bool at_end;
    uint64_t pages_before; // PRESENT pages in entries before the current one
};

struct chain {
    struct level levels[MOST_LEVELS];
    unsigned count;
};

static char *joined(const char *directory, const char *name) {
    char *path;
    if (asprintf(&path, "%s/%s", directory, name) < 0)
        fail_errno("cannot allocate a path");
    return path;
}

// Returns -1 if there is no such file. Not blocking, since a hostile directory may hold a pipe of that name.
static int open_image(int directory, const char *name, const char *path, struct stat *status) {
    int descriptor = openat(directory, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (descriptor < 0 && errno == ENOENT)
        return -1;
    if (descriptor < 0 || fstat(descriptor, status) != 0)
        fail_errno("cannot open %s", path);
    if (!S_ISREG(status->st_mode))
        fail("%s: is not a regular file", path);
    if ((status->st_mode & 07777) != IMAGE_MODE)
        report_form("%s: has mode %04o instead of %04o", path, (unsigned)(status->st_mode & 07777), IMAGE_MODE);
    return descriptor;
}

static void check_inventory(struct level *level, int directory) {
    struct stat status;
    char *path = joined(level->path, "inventory.img");
    int descriptor = open_image(directory, "inventory.img", path, &status);
    if (descriptor < 0)
        fail("%s: there is none; the images are unfinished", path);
    level->dump_uptime = inventory_check(descriptor, path);
    close(descriptor);
    free(path);
}

static void check_pages_size(const char *path, uint64_t size, uint64_t present) {
    uint64_t expected;
    if (__builtin_mul_overflow(present, (uint64_t)sysconf(_SC_PAGESIZE), &expected))
        fail("%s: cannot hold the %" PRIu64 " pages its pagemap claims", path, present);
    if (size != expected)
        report_form("%s: has %" PRIu64 " bytes instead of the %" PRIu64 " of %" PRIu64 " PRESENT pages", path, size, expected, present);
}

static void open_pages(struct level *level, int directory, uint32_t pages_id, uint64_t present) {
    char name[32];
    struct stat status;
    snprintf(name, sizeof name, "pages-%" PRIu32 ".img", pages_id);
    char *path = joined(level->path, name);
    level->pages = open_image(directory, name, path, &status);
    if (level->pages >= 0)
        check_pages_size(path, (uint64_t)status.st_size, present);
    else if (present > 0)
        fail("%s: there is none, and its pagemap has %" PRIu64 " PRESENT pages", path, present);
    free(path);
}

static void advance_entry(struct level *level) {
    if (level->current.flags & ENTRY_PRESENT)
        level->pages_before += level->current.pages;
    level->at_end = !pagemap_next(level->pagemap, &level->current);
}

static void open_pagemap(struct level *level, int directory, int vpid) {
    char name[32];
    struct stat status;
    snprintf(name, sizeof name, "pagemap-%d.img", vpid);
    char *path = joined(level->path, name);
    int descriptor = open_image(directory, name, path, &status);
    if (descriptor < 0) {
        free(path);
        return;
    }
    level->pagemap = pagemap_open(descriptor, path);
    uint64_t present = pagemap_check(level->pagemap);
    open_pages(level, directory, pagemap_pages_id(level->pagemap), present);
    pagemap_rewind(level->pagemap);
    advance_entry(level);
}

static void check_not_seen(const struct chain *chain, const struct level *level) {
    for (unsigned at = 0; at + 1 < chain->count; at++)
        if (chain->levels[at].device == level->device && chain->levels[at].inode == level->inode)
            fail("%s: is its own ancestor", level->path);
}

static int open_parent(int directory, const struct level *level) {
    char text[PATH_MAX];
    struct stat status;
    if (fstatat(directory, "parent", &status, AT_SYMLINK_NOFOLLOW) != 0) {
        if (errno != ENOENT)
            fail_errno("cannot look at %s/parent", level->path);
        return -1;
    }
    ssize_t length = readlinkat(directory, "parent", text, sizeof text - 1);
    if (length < 0)
        report_form("%s/parent: is not a symbolic link", level->path);
    else if (text[0] == '/')
        report_form("%s/parent: is absolute and breaks when the images are moved", level->path);
    int parent = openat(directory, "parent", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (parent < 0)
        fail_errno("cannot open %s/parent", level->path);
    return parent;
}

static void add_level(struct chain *chain, int directory, char *path, int vpid) {
    if (chain->count == MOST_LEVELS)
        fail("%s: the chain has more than %d levels", path, MOST_LEVELS);
    struct level *level = &chain->levels[chain->count++];
    struct stat status;
    if (fstat(directory, &status) != 0)
        fail_errno("cannot look at %s", path);
    level->path = path;
    level->device = status.st_dev;
    level->inode = status.st_ino;
    level->pages = -1;
    check_not_seen(chain, level);
    check_inventory(level, directory);
    open_pagemap(level, directory, vpid);
}

static void check_order_in_time(const struct chain *chain) {
    for (unsigned at = 0; at + 1 < chain->count; at++)
        if (chain->levels[at].dump_uptime < chain->levels[at + 1].dump_uptime)
            report_form("%s: its dump_uptime lies before that of its parent", chain->levels[at].path);
}

struct chain *chain_open(const char *path, int vpid) {
    struct chain *chain = allocate(sizeof *chain);
    int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0)
        fail_errno("cannot open %s", path);
    char *level_path = strdup(path);
    while (directory >= 0) {
        add_level(chain, directory, level_path, vpid);
        struct level *level = &chain->levels[chain->count - 1];
        // Beyond a level that does not know the process nothing can be reached.
        int parent = level->pagemap ? open_parent(directory, level) : -1;
        level_path = joined(level->path, "parent");
        close(directory);
        directory = parent;
    }
    free(level_path);
    if (!chain->levels[0].pagemap)
        fail("%s/pagemap-%d.img: there is none", path, vpid);
    check_order_in_time(chain);
    return chain;
}

static void advance_to(struct level *level, uint64_t address) {
    while (!level->at_end && entry_end(&level->current) <= address)
        advance_entry(level);
}

struct source chain_find(struct chain *chain, uint64_t address) {
    struct source none = {.state = SOURCE_NONE};
    for (unsigned at = 0; at < chain->count; at++) {
        struct level *level = &chain->levels[at];
        if (!level->pagemap)
            break;
        advance_to(level, address);
        if (level->at_end || address < level->current.start)
            break;
        if (level->current.flags & ENTRY_PRESENT) {
            uint64_t page = level->pages_before + (address - level->current.start) / (uint64_t)sysconf(_SC_PAGESIZE);
            return (struct source){SOURCE_FOUND, at, page * (uint64_t)sysconf(_SC_PAGESIZE)};
        }
        if (!(level->current.flags & ENTRY_PARENT))
            break;
        none.state = SOURCE_UNRESOLVED; // unless the next level has it
    }
    return none;
}

static bool covers_pages(const struct entry *entry) {
    return entry->pages > 0 && (entry->flags & (ENTRY_PRESENT | ENTRY_PARENT)) != 0;
}

bool chain_next_run(struct chain *chain, uint64_t address, uint64_t *start, uint64_t *end) {
    struct level *first = &chain->levels[0];
    advance_to(first, address);
    while (!first->at_end && !covers_pages(&first->current))
        advance_entry(first);
    if (first->at_end)
        return false;
    *start = first->current.start > address ? first->current.start : address;
    *end = entry_end(&first->current);
    return true;
}

size_t chain_read(const struct chain *chain, unsigned level, uint64_t offset, void *into, size_t size) {
    size_t done = 0;
    while (done < size) {
        ssize_t got = pread(chain->levels[level].pages, (char *)into + done, size - done, (off_t)(offset + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            fail_errno("%s: cannot read the pages file", chain->levels[level].path);
        if (got == 0)
            break;
        done += (size_t)got;
    }
    return done;
}
