#define _GNU_SOURCE
#include "runs.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "die.h"

// An entry of /proc/PID/pagemap: see Documentation/admin-guide/mm/pagemap.rst of the kernel.
static const uint64_t PRESENT = UINT64_C(1) << 63, SWAPPED = UINT64_C(1) << 62, OF_FILE = UINT64_C(1) << 61;

enum { ENTRIES = 8192 };

static bool has_own_data(uint64_t entry) { return (entry & (PRESENT | SWAPPED)) != 0 && (entry & OF_FILE) == 0; }

static void add_page(struct runs *runs, uint64_t start, uint64_t page) {
    struct run *last = runs->count > 0 ? &runs->at[runs->count - 1] : NULL;
    runs->bytes += page;
    if (last && last->start + last->bytes == start) {
        last->bytes += page;
        return;
    }
    if (runs->count == runs->room) {
        runs->room = runs->room ? 2 * runs->room : 1024;
        runs->at = reallocarray(runs->at, runs->room, sizeof *runs->at);
        if (!runs->at)
            die("no memory for the runs");
    }
    runs->at[runs->count++] = (struct run){start, page};
}

static void add_mapping(struct runs *runs, int pagemap, uint64_t start, uint64_t end) {
    static uint64_t entries[ENTRIES];
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    while (start < end) {
        uint64_t wanted = (end - start) / page;
        if (wanted > ENTRIES)
            wanted = ENTRIES;
        ssize_t got = pread(pagemap, entries, wanted * sizeof *entries, (off_t)(start / page * sizeof *entries));
        if (got <= 0)
            die("reading pagemap: %s", got < 0 ? strerror(errno) : "the process has ended");
        for (uint64_t index = 0; index < (uint64_t)got / sizeof *entries; index++, start += page)
            if (has_own_data(entries[index]))
                add_page(runs, start, page);
    }
}

// The kernel's own mappings ([vvar], [vdso], [vsyscall]) cannot all be read.
static bool is_readable(const char *permissions, const char *name) {
    return permissions[0] == 'r' && permissions[3] == 'p' && strncmp(name, "[v", 2) != 0;
}

struct runs runs_of(pid_t pid) {
    struct runs runs = {0};
    char path[64], line[8192];
    snprintf(path, sizeof path, "/proc/%d/maps", (int)pid);
    FILE *maps = fopen(path, "re");
    if (!maps)
        die("%s: %s", path, strerror(errno));
    snprintf(path, sizeof path, "/proc/%d/pagemap", (int)pid);
    int pagemap = open(path, O_RDONLY | O_CLOEXEC);
    if (pagemap < 0)
        die("%s: %s", path, strerror(errno));
    while (fgets(line, sizeof line, maps)) {
        uint64_t start, end;
        char permissions[5], name[3] = "";
        if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %*s %*s %*s %2s", &start, &end, permissions, name) < 3)
            die("a line of maps that this program does not understand: %s", line);
        if (is_readable(permissions, name))
            add_mapping(&runs, pagemap, start, end);
    }
    fclose(maps);
    close(pagemap);
    return runs;
}
