// What is in a process's memory, as text that two moments can be compared by.
//
//   snapshot take PID >FILE     one line per mapping, one line per page whose content is not all zero
//   snapshot compare A B        0 the same; 1 pages differ; 2 mappings differ; 3 could not compare
//
// What is the same to the process is the same here: a page that was never touched and a page full of zeroes, neither
// of which gets a line; one mapping and two adjacent ones, which the kernel may keep apart or merge after a restore.
// The process should be stopped.

#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { exit_same = 0, exit_pages_differ = 1, exit_mappings_differ = 2, exit_trouble = 3 };

static size_t page_size;
static int mem_fd, pagemap_fd;

// Every step is a bijection of the state for a given word, and of the word for a given state: two pages
// that differ in a single word cannot have the same hash.
static uint64_t hash_page(const unsigned char *page, bool *zero)
{
    uint64_t hash = 0x9e3779b97f4a7c15u, seen = 0;
    for (size_t at = 0; at < page_size; at += sizeof(uint64_t)) {
        uint64_t word;
        memcpy(&word, page + at, sizeof word);
        seen |= word;
        hash = (hash ^ word) * 0xff51afd7ed558ccdu;
        hash = hash << 29 | hash >> 35;
    }
    *zero = seen == 0;
    return hash;
}

static void print_page(uint64_t address, const unsigned char *page)
{
    bool zero;
    uint64_t hash = hash_page(page, &zero);
    if (!zero)
        printf("page %" PRIx64 " %016" PRIx64 "\n", address, hash);
}

static void take_range(uint64_t start, uint64_t end, unsigned char *buffer, size_t buffer_size)
{
    for (uint64_t at = start; at < end;) {
        size_t want = end - at < buffer_size ? end - at : buffer_size;
        ssize_t got = pread(mem_fd, buffer, want, (off_t)at);
        size_t whole = got > 0 ? (size_t)got / page_size : 0;
        for (size_t page = 0; page < whole; page++)
            print_page(at + page * page_size, buffer + page * page_size);
        at += whole * page_size;
        if (whole == 0) {
            printf("page %" PRIx64 " unreadable\n", at);
            at += page_size;
        }
    }
}

// Reading an untouched page of anonymous memory would make the kernel map it: those are left alone.
static void take_touched(uint64_t start, uint64_t end, unsigned char *buffer, size_t buffer_size)
{
    enum { batch = 8192 };
    static uint64_t entries[batch];
    const uint64_t present_or_swapped = UINT64_C(3) << 62;
    for (uint64_t at = start; at < end;) {
        size_t want = (end - at) / page_size < batch ? (end - at) / page_size : batch;
        ssize_t got = pread(pagemap_fd, entries, want * sizeof *entries, (off_t)(at / page_size * sizeof *entries));
        if (got <= 0)
            err(exit_trouble, "reading pagemap at %" PRIx64, at);
        size_t count = (size_t)got / sizeof *entries;
        for (size_t page = 0; page < count;) {
            size_t first = page;
            while (page < count && entries[page] & present_or_swapped)
                page++;
            take_range(at + first * page_size, at + page * page_size, buffer, buffer_size);
            while (page < count && !(entries[page] & present_or_swapped))
                page++;
        }
        at += count * page_size;
    }
}

struct mapping {
    uint64_t start, end, offset;
    bool anonymous;
    char access[8], name[4096];
};

// The next mapping that a process has for itself.
static bool read_mapping(FILE *maps, struct mapping *mapping)
{
    char line[8192];
    while (fgets(line, sizeof line, maps)) {
        uint64_t inode;
        int name_at = 0;
        line[strcspn(line, "\n")] = 0;
        if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %7s %" SCNx64 " %*s %" SCNu64 " %n", &mapping->start, &mapping->end,
                   mapping->access, &mapping->offset, &inode, &name_at) < 5)
            errx(exit_trouble, "cannot understand this mapping: %s", line);
        const char *name = line + name_at;
        // The kernel's own pages: they change by themselves.
        if (!strcmp(name, "[vvar]") || !strcmp(name, "[vvar_vclock]") || !strcmp(name, "[vsyscall]"))
            continue;
        // A mapping next to it may have been merged with it, and goes by its name then.
        if (!strcmp(name, "[heap]"))
            name = "";
        // CRIU restores shared anonymous memory as a memfd of this name.
        if (!strcmp(name, "/memfd:/dev/zero (deleted)"))
            name = "/dev/zero (deleted)";
        // The same of huge pages.
        if (!strcmp(name, "/memfd:/anon_hugepage (deleted)"))
            name = "/anon_hugepage (deleted)";
        // The first System V segment has number 0 for its inode.
        mapping->anonymous = inode == 0 && name[0] != '/' && strcmp(name, "[vdso]");
        snprintf(mapping->name, sizeof mapping->name, "%s", name);
        return true;
    }
    return false;
}

static bool continues(const struct mapping *mapping, const struct mapping *follower)
{
    return follower->start == mapping->end && !strcmp(follower->access, mapping->access) &&
           !strcmp(follower->name, mapping->name) &&
           (mapping->anonymous || follower->offset == mapping->offset + (mapping->end - mapping->start));
}

static int take(const char *pid)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%s/mem", pid);
    if ((mem_fd = open(path, O_RDONLY)) < 0)
        err(exit_trouble, "%s", path);
    snprintf(path, sizeof path, "/proc/%s/pagemap", pid);
    if ((pagemap_fd = open(path, O_RDONLY)) < 0)
        err(exit_trouble, "%s", path);
    snprintf(path, sizeof path, "/proc/%s/maps", pid);
    FILE *maps = fopen(path, "r");
    if (!maps)
        err(exit_trouble, "%s", path);

    const size_t buffer_size = 1 << 20;
    unsigned char *buffer = malloc(buffer_size);
    if (!buffer)
        err(exit_trouble, "malloc");

    struct mapping mapping, follower;
    bool more = read_mapping(maps, &mapping);
    while (more) {
        while ((more = read_mapping(maps, &follower)) && continues(&mapping, &follower))
            mapping.end = follower.end;
        printf("mapping %" PRIx64 "-%" PRIx64 " %s %s\n", mapping.start, mapping.end, mapping.access, mapping.name);
        if (mapping.anonymous)
            take_touched(mapping.start, mapping.end, buffer, buffer_size);
        else
            take_range(mapping.start, mapping.end, buffer, buffer_size);
        mapping = follower;
    }
    if (ferror(maps) || fflush(stdout) || ferror(stdout))
        err(exit_trouble, "taking the snapshot of %s", pid);
    return 0;
}

struct record {
    bool valid, is_mapping;
    uint64_t address;
    char text[8192];
};

static void next(FILE *file, struct record *record)
{
    record->valid = fgets(record->text, sizeof record->text, file);
    if (!record->valid) {
        if (ferror(file))
            err(exit_trouble, "reading a snapshot");
        return;
    }
    record->text[strcspn(record->text, "\n")] = 0;
    record->is_mapping = !strncmp(record->text, "mapping ", 8);
    if (!record->is_mapping && strncmp(record->text, "page ", 5))
        errx(exit_trouble, "no snapshot: %s", record->text);
    record->address = strtoull(strchr(record->text, ' ') + 1, NULL, 16);
}

// Whether `a` comes before `b` in a snapshot. A mapping precedes its pages.
static bool before(const struct record *a, const struct record *b)
{
    if (!a->valid || !b->valid)
        return a->valid;
    if (a->address != b->address)
        return a->address < b->address;
    return a->is_mapping && !b->is_mapping;
}

static int compare(const char *first_path, const char *second_path)
{
    enum { shown = 8 };
    static struct record first, second;
    FILE *first_file = fopen(first_path, "r"), *second_file = fopen(second_path, "r");
    if (!first_file || !second_file)
        err(exit_trouble, "%s", first_file ? second_path : first_path);
    next(first_file, &first);
    next(second_file, &second);
    if (!first.valid || !second.valid)
        errx(exit_trouble, "an empty snapshot");

    uint64_t mappings = 0, pages = 0, other_mappings = 0, other_pages = 0;
    while (first.valid || second.valid) {
        bool only_first = before(&first, &second), only_second = before(&second, &first);
        bool is_mapping = only_second ? second.is_mapping : first.is_mapping;
        if (only_first || only_second || strcmp(first.text, second.text)) {
            uint64_t *others = is_mapping ? &other_mappings : &other_pages;
            if (++*others <= shown)
                printf("differs: %s | %s\n", only_second ? "nothing" : first.text, only_first ? "nothing" : second.text);
        }
        *(is_mapping ? &mappings : &pages) += 1;
        if (!only_second)
            next(first_file, &first);
        if (!only_first)
            next(second_file, &second);
    }
    printf("compared %" PRIu64 " mappings, %" PRIu64 " pages: %" PRIu64 " mappings and %" PRIu64 " pages differ\n",
           mappings, pages, other_mappings, other_pages);
    if (pages == 0)
        errx(exit_trouble, "the snapshots hold no pages");
    return other_mappings ? exit_mappings_differ : other_pages ? exit_pages_differ : exit_same;
}

int main(int argc, char **argv)
{
    page_size = (size_t)sysconf(_SC_PAGESIZE);
    if (argc == 3 && !strcmp(argv[1], "take"))
        return take(argv[2]);
    if (argc == 4 && !strcmp(argv[1], "compare"))
        return compare(argv[2], argv[3]);
    fprintf(stderr, "usage: snapshot take PID | snapshot compare A B\n");
    return exit_trouble;
}
