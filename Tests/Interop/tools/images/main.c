// Looks into CRIU's images, and damages them.
//
//   images stats DIR              "freezing_us N frozen_us N scanned N parent N written N" of the dump in DIR
//   images pages DIR PID...       checks the pagemaps against the pages files; "present N parent N" of all together
//   images in-parent DIR PID PAGE whether the pagemap says that the page's content is in the parent
//   images uptime DIR N           has the inventory say that the images were made N microseconds after the machine started
//   images flip DIR PID | forget DIR PID [UPPER]... | drop DIR PID UPPER... | cut DIR PID PAGE    see tamper.h

#define _GNU_SOURCE
#include <err.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "format.h"
#include "tamper.h"

static int print_stats(const char *directory)
{
    struct dump_stats stats = read_stats(directory);
    printf("freezing_us %" PRIu64 " frozen_us %" PRIu64, stats.freezing_microseconds, stats.frozen_microseconds);
    printf(" scanned %" PRIu64 " parent %" PRIu64 " written %" PRIu64 "\n", stats.scanned, stats.parent, stats.written);
    return 0;
}

// Adds the pages of one task.
static void count_pages(const char *directory, const char *pid, uint64_t *present, uint64_t *parent)
{
    uint64_t page_size = system_page_size(), here = 0, end = 0;
    struct pagemap map = read_pagemap(directory, pid);
    for (size_t at = 0; at < map.count; at++) {
        struct entry entry = map.entries[at];
        if (entry.pages == 0 || entry.address % page_size || entry.address < end)
            errx(1, "entry %zu at %" PRIx64 ": empty, unaligned, or not behind the one before it", at, entry.address);
        end = entry.address + entry.pages * page_size;
        if (entry.flags & flag_present && entry.flags & flag_parent)
            errx(1, "entry at %" PRIx64 " is both here and in the parent", entry.address);
        if (!(entry.flags & (flag_present | flag_parent)))
            errx(1, "entry at %" PRIx64 " is neither here nor in the parent", entry.address);
        *(entry.flags & flag_present ? &here : parent) += entry.pages;
    }
    char path[4096];
    struct stat status = {0};
    pages_path(path, sizeof path, directory, &map);
    if (stat(path, &status) && here)
        err(1, "%s", path);
    if ((uint64_t)status.st_size != here * page_size)
        errx(1, "%s has %jd bytes; the pagemap speaks of %" PRIu64 " pages", path, (intmax_t)status.st_size, here);
    *present += here;
    free(map.entries);
}

static int print_pages(const char *directory, char **pids)
{
    uint64_t present = 0, parent = 0;
    for (; *pids; pids++)
        count_pages(directory, *pids, &present, &parent);
    printf("present %" PRIu64 " parent %" PRIu64 "\n", present, parent);
    return 0;
}

static int in_parent(const char *directory, const char *pid, const char *page)
{
    struct pagemap map = read_pagemap(directory, pid);
    const struct entry *entry = find_entry(&map, strtoull(page, NULL, 16));
    return entry && entry->flags & flag_parent ? 0 : 1;
}

int main(int argc, char **argv)
{
    if (argc == 3 && !strcmp(argv[1], "stats"))
        return print_stats(argv[2]);
    if (argc >= 4 && !strcmp(argv[1], "pages"))
        return print_pages(argv[2], argv + 3);
    if (argc == 5 && !strcmp(argv[1], "in-parent"))
        return in_parent(argv[2], argv[3], argv[4]);
    if (argc == 4 && !strcmp(argv[1], "flip"))
        return flip(argv[2], argv[3]);
    if (argc >= 4 && !strcmp(argv[1], "forget"))
        return forget(argv[2], argv[3], argv + 4);
    if (argc >= 5 && !strcmp(argv[1], "drop"))
        return drop(argv[2], argv[3], argv + 4);
    if (argc == 5 && !strcmp(argv[1], "cut"))
        return cut(argv[2], argv[3], argv[4]);
    if (argc == 4 && !strcmp(argv[1], "uptime")) {
        write_uptime(argv[2], strtoull(argv[3], NULL, 10));
        return 0;
    }
    fprintf(stderr, "usage: images stats DIR | pages DIR PID... | in-parent DIR PID PAGE |\n"
                    "       uptime DIR N | flip DIR PID | forget DIR PID [UPPER]... | drop DIR PID UPPER... |\n"
                    "       cut DIR PID PAGE\n");
    return 1;
}
