#define _GNU_SOURCE
#include "tamper.h"

#include <err.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "format.h"

static FILE *open_pages(const char *directory, const struct pagemap *map)
{
    char path[4096];
    pages_path(path, sizeof path, directory, map);
    FILE *pages = fopen(path, "r+");
    if (!pages)
        err(1, "%s", path);
    return pages;
}

static void read_page(FILE *pages, uint64_t index, unsigned char *page)
{
    uint64_t page_size = system_page_size();
    if (fseeko(pages, (off_t)(index * page_size), SEEK_SET) || fread(page, 1, page_size, pages) != page_size)
        err(1, "reading page %" PRIu64 " of a pages file", index);
}

static void write_page(FILE *pages, uint64_t index, const unsigned char *page)
{
    uint64_t page_size = system_page_size();
    if (fseeko(pages, (off_t)(index * page_size), SEEK_SET) || fwrite(page, 1, page_size, pages) != page_size)
        err(1, "writing page %" PRIu64 " of a pages file", index);
}

static void close_pages(FILE *pages)
{
    if (fclose(pages))
        err(1, "writing a pages file");
}

static unsigned char *page_buffer(void)
{
    unsigned char *page = malloc(system_page_size());
    if (!page)
        err(1, "malloc");
    return page;
}

int flip(const char *directory, const char *pid)
{
    struct pagemap map = read_pagemap(directory, pid);
    struct entry longest = {0};
    for (size_t at = 0; at < map.count; at++)
        if (map.entries[at].flags & flag_present && map.entries[at].pages > longest.pages)
            longest = map.entries[at];
    uint64_t address = longest.address + longest.pages / 2 * system_page_size();
    uint64_t index = pages_before(&map, address);
    unsigned char *page = page_buffer();
    FILE *pages = open_pages(directory, &map);
    read_page(pages, index, page);
    page[system_page_size() / 2] ^= 1;
    write_page(pages, index, page);
    close_pages(pages);
    printf("%" PRIx64 "\n", address);
    return 0;
}

// The directories that are built upon the damaged one.
struct uppers {
    struct pagemap maps[8];
    size_t count;
};

static struct uppers read_uppers(const char *pid, char **directories)
{
    struct uppers uppers = {0};
    for (; *directories; directories++) {
        if (uppers.count == sizeof uppers.maps / sizeof *uppers.maps)
            errx(1, "too many directories");
        uppers.maps[uppers.count++] = read_pagemap(*directories, pid);
    }
    return uppers;
}

static bool all_rely_on(const struct uppers *uppers, uint64_t address)
{
    for (size_t at = 0; at < uppers->count; at++) {
        const struct entry *entry = find_entry(&uppers->maps[at], address);
        if (!entry || !(entry->flags & flag_parent))
            return false;
    }
    return true;
}

// A page of the directory's own that those above rely on, and of which the parent has another content; 0 if none.
static uint64_t find_forgettable(const struct pagemap *map, FILE *pages, const struct pagemap *older, FILE *older_pages,
                                 const struct uppers *uppers)
{
    uint64_t page_size = system_page_size();
    unsigned char *now = page_buffer(), *then = page_buffer();
    for (size_t at = 0; at < map->count; at++) {
        struct entry entry = map->entries[at];
        for (uint64_t page = 0; entry.flags & flag_present && page < entry.pages; page++) {
            uint64_t address = entry.address + page * page_size;
            const struct entry *had = find_entry(older, address);
            if (!had || !(had->flags & flag_present) || !all_rely_on(uppers, address))
                continue;
            read_page(pages, pages_before(map, address), now);
            read_page(older_pages, pages_before(older, address), then);
            if (memcmp(now, then, page_size))
                return address;
        }
    }
    return 0;
}

static void remove_page(FILE *pages, uint64_t index)
{
    uint64_t page_size = system_page_size();
    unsigned char *page = page_buffer();
    if (fseeko(pages, 0, SEEK_END))
        err(1, "a pages file");
    uint64_t count = (uint64_t)ftello(pages) / page_size;
    for (; index + 1 < count; index++) {
        read_page(pages, index + 1, page);
        write_page(pages, index, page);
    }
    if (fflush(pages) || ftruncate(fileno(pages), (off_t)((count - 1) * page_size)))
        err(1, "shortening a pages file");
}

// The entry becomes up to three: what is before the page, the page itself with other flags, what is behind it. With no
// flags the page is in no entry any more.
static void split_entry(struct pagemap *map, uint64_t address, uint64_t flags)
{
    uint64_t page_size = system_page_size();
    struct pagemap changed = {.pages_id = map->pages_id};
    changed.entries = malloc((map->count + 2) * sizeof *changed.entries);
    if (!changed.entries)
        err(1, "malloc");
    for (size_t at = 0; at < map->count; at++) {
        struct entry entry = map->entries[at];
        uint64_t before = address < entry.address ? entry.pages : (address - entry.address) / page_size;
        if (before >= entry.pages) {
            changed.entries[changed.count++] = entry;
            continue;
        }
        uint64_t behind = entry.pages - before - 1;
        if (before)
            changed.entries[changed.count++] = (struct entry){entry.address, before, entry.flags};
        if (flags)
            changed.entries[changed.count++] = (struct entry){address, 1, flags};
        if (behind)
            changed.entries[changed.count++] = (struct entry){address + page_size, behind, entry.flags};
    }
    *map = changed;
}

int forget(const char *directory, const char *pid, char **upper_directories)
{
    char parent[4096];
    snprintf(parent, sizeof parent, "%s/parent", directory);
    struct pagemap map = read_pagemap(directory, pid), older = read_pagemap(parent, pid);
    struct uppers uppers = read_uppers(pid, upper_directories);
    FILE *pages = open_pages(directory, &map), *older_pages = open_pages(parent, &older);
    uint64_t address = find_forgettable(&map, pages, &older, older_pages, &uppers);
    if (!address)
        errx(1, "%s has no page that those above rely on and that its parent has another content of", directory);
    remove_page(pages, pages_before(&map, address));
    close_pages(pages);
    split_entry(&map, address, flag_parent);
    write_pagemap(directory, pid, &map);
    printf("%" PRIx64 "\n", address);
    return 0;
}

int drop(const char *directory, const char *pid, char **upper_directories)
{
    struct pagemap map = read_pagemap(directory, pid);
    struct uppers uppers = read_uppers(pid, upper_directories);
    for (size_t at = 0; at < map.count; at++) {
        uint64_t address = map.entries[at].address;
        if (!(map.entries[at].flags & flag_parent) || !all_rely_on(&uppers, address))
            continue;
        memmove(&map.entries[at], &map.entries[at + 1], (map.count - at - 1) * sizeof *map.entries);
        map.count--;
        write_pagemap(directory, pid, &map);
        printf("%" PRIx64 "\n", address);
        return 0;
    }
    errx(1, "%s leaves no pages to its parent that those above rely on", directory);
}

int cut(const char *directory, const char *pid, const char *page)
{
    uint64_t address = strtoull(page, NULL, 16);
    struct pagemap map = read_pagemap(directory, pid);
    const struct entry *entry = find_entry(&map, address);
    if (!entry)
        errx(1, "%s says nothing of page %" PRIx64, directory, address);
    if (entry->flags & flag_present) {
        FILE *pages = open_pages(directory, &map);
        remove_page(pages, pages_before(&map, address));
        close_pages(pages);
    }
    split_entry(&map, address, 0);
    write_pagemap(directory, pid, &map);
    printf("%" PRIx64 "\n", address);
    return 0;
}
