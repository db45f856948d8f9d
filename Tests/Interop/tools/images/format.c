#define _GNU_SOURCE
#include "format.h"

#include <err.h>
#include <inttypes.h>
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
    // Not behind a common one.
    magic_inventory = 0x58313116,
};

struct message {
    const unsigned char *at, *end;
};

uint64_t system_page_size(void)
{
    return (uint64_t)sysconf(_SC_PAGESIZE);
}

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

struct pagemap read_pagemap(const char *directory, const char *pid)
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

const struct entry *find_entry(const struct pagemap *map, uint64_t address)
{
    for (size_t at = 0; at < map->count; at++) {
        const struct entry *entry = &map->entries[at];
        if (entry->address <= address && address < entry->address + entry->pages * system_page_size())
            return entry;
    }
    return NULL;
}

uint64_t pages_before(const struct pagemap *map, uint64_t address)
{
    const struct entry *holder = find_entry(map, address);
    uint64_t before = 0;
    if (!holder || !(holder->flags & flag_present))
        errx(1, "the pages file has no page %" PRIx64, address);
    for (const struct entry *entry = map->entries; entry < holder; entry++)
        if (entry->flags & flag_present)
            before += entry->pages;
    return before + (address - holder->address) / system_page_size();
}

void pages_path(char *path, size_t size, const char *directory, const struct pagemap *map)
{
    snprintf(path, size, "%s/pages-%" PRIu64 ".img", directory, map->pages_id);
}

static size_t put_varint(unsigned char *at, uint64_t value)
{
    size_t length = 0;
    for (; value >= 0x80; value >>= 7)
        at[length++] = (unsigned char)(value | 0x80);
    at[length++] = (unsigned char)value;
    return length;
}

static size_t put_field(unsigned char *at, unsigned id, uint64_t value)
{
    at[0] = (unsigned char)(id << 3);
    return 1 + put_varint(at + 1, value);
}

static void put_word(FILE *file, uint32_t value)
{
    const unsigned char bytes[] = {value & 0xff, value >> 8 & 0xff, value >> 16 & 0xff, value >> 24};
    fwrite(bytes, 1, sizeof bytes, file);
}

static void put_record(FILE *file, const unsigned char *message, size_t length)
{
    put_word(file, (uint32_t)length);
    fwrite(message, 1, length, file);
}

void write_pagemap(const char *directory, const char *pid, const struct pagemap *map)
{
    char path[4096];
    unsigned char message[64];
    snprintf(path, sizeof path, "%s/pagemap-%s.img", directory, pid);
    FILE *file = fopen(path, "w");
    if (!file)
        err(1, "%s", path);
    put_word(file, magic_images);
    put_word(file, magic_pagemap);
    put_record(file, message, put_field(message, 1, map->pages_id));
    for (size_t at = 0; at < map->count; at++) {
        size_t length = put_field(message, 1, map->entries[at].address);
        length += put_field(message + length, 2, map->entries[at].pages);
        length += put_field(message + length, 4, map->entries[at].flags);
        put_record(file, message, length);
    }
    if (ferror(file) || fclose(file))
        err(1, "%s", path);
}

void write_uptime(const char *directory, uint64_t microseconds)
{
    enum { uptime_field = 8 };
    char path[4096];
    size_t size, length = 0;
    snprintf(path, sizeof path, "%s/inventory.img", directory);
    unsigned char *bytes = read_file(path, &size), *changed = malloc(size + 16);
    if (!changed)
        err(1, "malloc");
    if (size < 4 || word(bytes) != magic_inventory)
        errx(1, "%s: not the expected kind of image", path);
    struct message file = {bytes + 4, bytes + size}, inventory, ignored;
    uint64_t id, value;
    bool had_one = false;
    if (!record(&file, &inventory))
        errx(1, "%s: is empty", path);
    for (const unsigned char *from = inventory.at; field(&inventory, &id, &value, &ignored); from = inventory.at) {
        if (id == uptime_field) {
            had_one = true;
            length += put_field(changed + length, uptime_field, microseconds);
        } else {
            memcpy(changed + length, from, (size_t)(inventory.at - from));
            length += (size_t)(inventory.at - from);
        }
    }
    if (!had_one)
        errx(1, "%s: does not say when it was made", path);
    FILE *output = fopen(path, "w");
    if (!output)
        err(1, "%s", path);
    put_word(output, magic_inventory);
    put_record(output, changed, length);
    if (ferror(output) || fclose(output))
        err(1, "%s", path);
}

struct dump_stats read_stats(const char *directory)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/stats-dump", directory);
    struct message file = open_image(path, magic_service, magic_stats), entry, dump, ignored;
    struct dump_stats stats = {0};
    uint64_t id, value;
    if (!record(&file, &entry) || !field(&entry, &id, &value, &dump) || id != 1)
        errx(1, "%s: holds no figures of a dump", path);
    while (field(&dump, &id, &value, &ignored)) {
        switch (id) {
        case 1: stats.freezing_microseconds = value; break;
        case 2: stats.frozen_microseconds = value; break;
        case 5: stats.scanned = value; break;
        case 6: stats.parent = value; break;
        case 7: stats.written = value; break;
        }
    }
    return stats;
}
