#define _GNU_SOURCE
#include "pagemap.h"

#include <inttypes.h>

#include "failure.h"
#include "records.h"
#include "report.h"

static const uint32_t COMMON_MAGIC = 0x54564319, PAGEMAP_MAGIC = 0x56084025;
enum { HEAD_PAGES_ID = 1 };
enum { FIELD_VADDR = 1, FIELD_OLD_COUNT = 2, FIELD_IN_PARENT = 3, FIELD_FLAGS = 4, FIELD_NEW_COUNT = 5 };

struct pagemap {
    struct records records;
    char *path;
    uint32_t pages_id;
    uint64_t entries; // read so far, for messages
};

static uint64_t varint(const struct pagemap *pagemap, const struct field *field, uint64_t most, const char *what) {
    if (field->type != WIRE_VARINT)
        fail("%s: %s of entry %" PRIu64 " has wire type %d", pagemap->path, what, pagemap->entries, (int)field->type);
    if (field->value > most)
        fail("%s: %s of entry %" PRIu64 " is %" PRIu64, pagemap->path, what, pagemap->entries, field->value);
    return field->value;
}

static void read_head(struct pagemap *pagemap) {
    struct message message;
    struct field field;
    enum message_step step;
    bool has_id = false;
    if (!records_next(&pagemap->records, &message))
        fail("%s: has no head", pagemap->path);
    while ((step = message_next(&message, &field)) == MESSAGE_FIELD) {
        if (field.number != HEAD_PAGES_ID)
            continue;
        if (field.type != WIRE_VARINT || field.value > UINT32_MAX)
            fail("%s: pages_id is not a 32-bit number", pagemap->path);
        pagemap->pages_id = (uint32_t)field.value;
        has_id = true;
    }
    if (step == MESSAGE_BROKEN || !has_id)
        fail("%s: the head %s", pagemap->path, has_id ? "is not a protobuf message" : "has no pages_id (field 1)");
}

static void read_start(struct pagemap *pagemap) {
    uint32_t common = records_magic(&pagemap->records, "common");
    uint32_t type = records_magic(&pagemap->records, "pagemap");
    if (common != COMMON_MAGIC || type != PAGEMAP_MAGIC)
        fail("%s: magics 0x%08" PRIx32 " 0x%08" PRIx32 " are not those of a pagemap", pagemap->path, common, type);
    read_head(pagemap);
}

struct pagemap *pagemap_open(int descriptor, char *path) {
    struct pagemap *pagemap = allocate(sizeof *pagemap);
    pagemap->path = path;
    records_start(&pagemap->records, descriptor, path);
    read_start(pagemap);
    return pagemap;
}

uint32_t pagemap_pages_id(const struct pagemap *pagemap) { return pagemap->pages_id; }

void pagemap_rewind(struct pagemap *pagemap) {
    records_start(&pagemap->records, pagemap->records.descriptor, pagemap->path);
    pagemap->entries = 0;
    read_start(pagemap);
}

struct raw_entry {
    struct entry entry;
    bool has_start, has_flags, in_parent;
};

static void take_field(const struct pagemap *pagemap, struct raw_entry *raw, const struct field *field) {
    struct entry *entry = &raw->entry;
    switch (field->number) {
    case FIELD_VADDR:
        entry->start = varint(pagemap, field, UINT64_MAX, "vaddr");
        raw->has_start = true;
        break;
    case FIELD_OLD_COUNT:
        entry->old_count = varint(pagemap, field, UINT32_MAX, "nr_pages (field 2)");
        entry->has_old_count = true;
        break;
    case FIELD_IN_PARENT: raw->in_parent = varint(pagemap, field, 1, "in_parent") != 0; break;
    case FIELD_FLAGS:
        entry->flags = (uint32_t)varint(pagemap, field, UINT32_MAX, "flags");
        raw->has_flags = true;
        break;
    case FIELD_NEW_COUNT:
        entry->new_count = varint(pagemap, field, UINT64_MAX, "nr_pages (field 5)");
        entry->has_new_count = true;
        break;
    }
}

static void check_flags(const struct pagemap *pagemap, uint32_t flags) {
    if (flags & ~(uint32_t)(ENTRY_PARENT | ENTRY_LAZY | ENTRY_PRESENT))
        fail("%s: entry %" PRIu64 " has unknown flags 0x%" PRIx32, pagemap->path, pagemap->entries, flags);
    if ((flags & ENTRY_PARENT) && (flags & ENTRY_PRESENT))
        fail("%s: entry %" PRIu64 " is both PRESENT and PARENT", pagemap->path, pagemap->entries);
}

static void check_range(const struct pagemap *pagemap, const struct entry *entry) {
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), size, end;
    if (entry->start % page != 0)
        fail("%s: entry %" PRIu64 " starts at 0x%" PRIx64 ", which is not the start of a page", pagemap->path, pagemap->entries,
             entry->start);
    if (__builtin_mul_overflow(entry->pages, page, &size) || __builtin_add_overflow(entry->start, size, &end))
        fail("%s: entry %" PRIu64 " (0x%" PRIx64 ", %" PRIu64 " pages) leaves the address space", pagemap->path, pagemap->entries,
             entry->start, entry->pages);
}

static struct entry finished(const struct pagemap *pagemap, struct raw_entry *raw) {
    struct entry *entry = &raw->entry;
    if (!raw->has_start)
        fail("%s: entry %" PRIu64 " has no vaddr (field 1)", pagemap->path, pagemap->entries);
    if (!entry->has_old_count && !entry->has_new_count)
        fail("%s: entry %" PRIu64 " has no page count (fields 2 and 5)", pagemap->path, pagemap->entries);
    entry->pages = entry->has_new_count ? entry->new_count : entry->old_count;
    // The meaning of entries from before there were flags.
    if (!raw->has_flags)
        entry->flags = raw->in_parent ? ENTRY_PARENT : ENTRY_PRESENT;
    check_flags(pagemap, entry->flags);
    check_range(pagemap, entry);
    return *entry;
}

bool pagemap_next(struct pagemap *pagemap, struct entry *entry) {
    struct message message;
    struct field field;
    struct raw_entry raw = {0};
    enum message_step step;
    if (!records_next(&pagemap->records, &message))
        return false;
    while ((step = message_next(&message, &field)) == MESSAGE_FIELD)
        take_field(pagemap, &raw, &field);
    if (step == MESSAGE_BROKEN)
        fail("%s: entry %" PRIu64 " is not a protobuf message", pagemap->path, pagemap->entries);
    *entry = finished(pagemap, &raw);
    pagemap->entries++;
    return true;
}

static void check_form(const struct pagemap *pagemap, const struct entry *entry) {
    if (!entry->has_old_count)
        report_at(FORM_NO_OLD_COUNT, entry->start, entry->pages, pagemap->path);
    if (!entry->has_new_count)
        report_at(FORM_NO_NEW_COUNT, entry->start, entry->pages, pagemap->path);
    if (entry->has_old_count && entry->has_new_count && entry->old_count != entry->new_count)
        report_at(FORM_COUNTS_DIFFER, entry->start, entry->pages, pagemap->path);
    if (entry->pages == 0)
        report_at(FORM_EMPTY, entry->start, 1, pagemap->path);
    if (!(entry->flags & (ENTRY_PRESENT | ENTRY_PARENT)))
        report_at(FORM_NO_CONTENT, entry->start, entry->pages, pagemap->path);
}

static void check_neighbours(const struct pagemap *pagemap, const struct entry *before, const struct entry *entry) {
    if (entry->start < before->start)
        fail("%s: entry %" PRIu64 " at 0x%" PRIx64 " comes after one at 0x%" PRIx64 ": not sorted", pagemap->path,
             pagemap->entries - 1, entry->start, before->start);
    if (entry->start < entry_end(before))
        fail("%s: entry %" PRIu64 " at 0x%" PRIx64 " overlaps the one before it", pagemap->path, pagemap->entries - 1, entry->start);
    // Field 2 has 32 bits: longer runs have to be split.
    bool fits = before->pages + entry->pages <= UINT32_MAX;
    if (entry->start == entry_end(before) && entry->flags == before->flags && fits)
        report_at(FORM_NOT_MERGED, entry->start, entry->pages, pagemap->path);
}

uint64_t pagemap_check(struct pagemap *pagemap) {
    struct entry before = {0}, entry;
    uint64_t present = 0;
    bool first = true;
    while (pagemap_next(pagemap, &entry)) {
        check_form(pagemap, &entry);
        if (!first)
            check_neighbours(pagemap, &before, &entry);
        // Cannot overflow: entries do not overlap.
        if (entry.flags & ENTRY_PRESENT)
            present += entry.pages;
        before = entry;
        first = false;
    }
    return present;
}
