// Reads as much of CRIU's images as the suite needs to know. Written from the format's description, not with
// Sluice's own reader: a mistake that Sluice makes in writing, it would make in reading too.
//
//   images stats DIR              "scanned N parent N written N" of the dump in DIR
//   images pages DIR PID          checks the pagemap of PID against its pages file; "present N parent N"
//   images flip DIR PID           flips one byte in the middle of the longest run of pages; prints the page's address
//   images in-parent DIR PID PAGE whether the pagemap says that the page's content is in the parent

#define _GNU_SOURCE
#include <err.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    magic_images = 0x54564319,
    magic_service = 0x55105940,
    magic_pagemap = 0x56084025,
    magic_stats = 0x57093306,
};

enum { flag_parent = 1, flag_lazy = 2, flag_present = 4 };

struct entry {
    uint64_t address, pages, flags;
};

struct pagemap {
    uint64_t pages_id;
    struct entry *entries;
    size_t count;
};

struct message {
    const unsigned char *at, *end;
};

static unsigned char *read_file(const char *path, size_t *size)
{
    FILE *file = fopen(path, "r");
    struct stat status;
    if (!file || fstat(fileno(file), &status))
        err(1, "%s", path);
    *size = (size_t)status.st_size;
    unsigned char *bytes = malloc(*size + 1);
    if (!bytes || fread(bytes, 1, *size, file) != *size)
        err(1, "%s", path);
    fclose(file);
    return bytes;
}

static uint32_t word(const unsigned char *at)
{
    return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static uint64_t varint(struct message *message)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        if (message->at == message->end)
            errx(1, "a message ends in the middle of a number");
        unsigned char byte = *message->at++;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return value;
    }
    errx(1, "a number is too long");
}

// The next field of a message; length-delimited ones come back as `bytes`.
static bool field(struct message *message, uint64_t *id, uint64_t *value, struct message *bytes)
{
    if (message->at == message->end)
        return false;
    uint64_t key = varint(message);
    *id = key >> 3;
    *value = varint(message);
    switch (key & 7) {
    case 0:
        break;
    case 2:
        if (*value > (uint64_t)(message->end - message->at))
            errx(1, "a field is longer than its message");
        bytes->at = message->at;
        bytes->end = message->at += *value;
        break;
    default:
        errx(1, "unexpected wire type %" PRIu64, key & 7);
    }
    return true;
}

static bool record(struct message *file, struct message *next)
{
    if (file->at == file->end)
        return false;
    if (file->end - file->at < 4 || word(file->at) > (size_t)(file->end - file->at - 4))
        errx(1, "an image ends in the middle of a record");
    next->at = file->at + 4;
    next->end = file->at = next->at + word(file->at);
    return true;
}

static struct message open_image(const char *path, uint32_t common, uint32_t type)
{
    size_t size;
    unsigned char *bytes = read_file(path, &size);
    if (size < 8 || word(bytes) != common || word(bytes + 4) != type)
        errx(1, "%s: not the expected kind of image", path);
    return (struct message){bytes + 8, bytes + size};
}

static struct pagemap read_pagemap(const char *directory, const char *pid)
{
    char path[4096];
    struct pagemap map = {0};
    snprintf(path, sizeof path, "%s/pagemap-%s.img", directory, pid);
    struct message file = open_image(path, magic_images, magic_pagemap), head, item, bytes;
    uint64_t id, value;
    if (!record(&file, &head))
        errx(1, "%s: no head", path);
    while (field(&head, &id, &value, &bytes))
        if (id == 1)
            map.pages_id = value;

    size_t room = 0;
    while (record(&file, &item)) {
        struct entry entry = {0};
        uint64_t short_count = 0, long_count = 0;
        bool in_parent = false, has_flags = false;
        while (field(&item, &id, &value, &bytes)) {
            switch (id) {
            case 1: entry.address = value; break;
            case 2: short_count = value; break;
            case 3: in_parent = value; break;
            case 4: entry.flags = value; has_flags = true; break;
            case 5: long_count = value; break;
            }
        }
        if (!has_flags)
            entry.flags = in_parent ? flag_parent : flag_present;
        entry.pages = long_count ? long_count : short_count;
        if (map.count == room) {
            room = room ? room * 2 : 256;
            map.entries = realloc(map.entries, room * sizeof *map.entries);
            if (!map.entries)
                err(1, "realloc");
        }
        map.entries[map.count++] = entry;
    }
    return map;
}

static int print_stats(const char *directory)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/stats-dump", directory);
    struct message file = open_image(path, magic_service, magic_stats), entry, dump;
    uint64_t id, value, scanned = 0, parent = 0, written = 0;
    if (!record(&file, &entry) || !field(&entry, &id, &value, &dump) || id != 1)
        errx(1, "%s: holds no figures of a dump", path);
    struct message ignored;
    while (field(&dump, &id, &value, &ignored)) {
        switch (id) {
        case 5: scanned = value; break;
        case 6: parent = value; break;
        case 7: written = value; break;
        }
    }
    printf("scanned %" PRIu64 " parent %" PRIu64 " written %" PRIu64 "\n", scanned, parent, written);
    return 0;
}

static int print_pages(const char *directory, const char *pid)
{
    uint64_t page_size = (uint64_t)sysconf(_SC_PAGESIZE), present = 0, parent = 0, end = 0;
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
        *(entry.flags & flag_present ? &present : &parent) += entry.pages;
    }
    char path[4096];
    struct stat status = {0};
    snprintf(path, sizeof path, "%s/pages-%" PRIu64 ".img", directory, map.pages_id);
    if (stat(path, &status) && present)
        err(1, "%s", path);
    if ((uint64_t)status.st_size != present * page_size)
        errx(1, "%s has %jd bytes; the pagemap speaks of %" PRIu64 " pages", path, (intmax_t)status.st_size, present);
    printf("present %" PRIu64 " parent %" PRIu64 "\n", present, parent);
    return 0;
}

static int flip(const char *directory, const char *pid)
{
    uint64_t page_size = (uint64_t)sysconf(_SC_PAGESIZE), before = 0, best_page = 0, best_before = 0, best = 0;
    struct pagemap map = read_pagemap(directory, pid);
    for (size_t at = 0; at < map.count; at++) {
        struct entry entry = map.entries[at];
        if (!(entry.flags & flag_present))
            continue;
        if (entry.pages > best) {
            best = entry.pages;
            best_page = entry.address + best / 2 * page_size;
            best_before = before + best / 2;
        }
        before += entry.pages;
    }
    char path[4096];
    snprintf(path, sizeof path, "%s/pages-%" PRIu64 ".img", directory, map.pages_id);
    FILE *pages = fopen(path, "r+");
    off_t offset = (off_t)(best_before * page_size + page_size / 2);
    if (!pages || fseeko(pages, offset, SEEK_SET))
        err(1, "%s", path);
    int byte = fgetc(pages);
    if (byte == EOF || fseeko(pages, offset, SEEK_SET) || fputc(byte ^ 1, pages) == EOF || fclose(pages))
        err(1, "%s", path);
    printf("%" PRIx64 "\n", best_page);
    return 0;
}

static int in_parent(const char *directory, const char *pid, const char *page)
{
    uint64_t page_size = (uint64_t)sysconf(_SC_PAGESIZE), address = strtoull(page, NULL, 16);
    struct pagemap map = read_pagemap(directory, pid);
    for (size_t at = 0; at < map.count; at++) {
        struct entry entry = map.entries[at];
        if (entry.address <= address && address < entry.address + entry.pages * page_size)
            return entry.flags & flag_parent ? 0 : 1;
    }
    return 1;
}

int main(int argc, char **argv)
{
    if (argc == 3 && !strcmp(argv[1], "stats"))
        return print_stats(argv[2]);
    if (argc == 4 && !strcmp(argv[1], "pages"))
        return print_pages(argv[2], argv[3]);
    if (argc == 4 && !strcmp(argv[1], "flip"))
        return flip(argv[2], argv[3]);
    if (argc == 5 && !strcmp(argv[1], "in-parent"))
        return in_parent(argv[2], argv[3], argv[4]);
    fprintf(stderr, "usage: images stats DIR | pages DIR PID | flip DIR PID | in-parent DIR PID PAGE\n");
    return 1;
}
