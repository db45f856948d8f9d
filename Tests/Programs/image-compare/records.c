#define _GNU_SOURCE
#include "records.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "failure.h"

void records_start(struct records *records, int descriptor, const char *name) {
    records->descriptor = descriptor;
    records->name = name;
    records->position = 0;
    records->at = records->end = 0;
}

static void refill(struct records *records) {
    uint64_t file_position = records->position;
    ssize_t got;
    do
        got = pread(records->descriptor, records->buffer, sizeof records->buffer, (off_t)file_position);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        fail_errno("%s: cannot read", records->name);
    records->at = 0;
    records->end = (size_t)got;
}

// Returns how many of the wanted bytes there were.
static size_t take(struct records *records, unsigned char *into, size_t wanted) {
    size_t taken = 0;
    while (taken < wanted) {
        if (records->at == records->end)
            refill(records);
        size_t part = records->end - records->at;
        if (part == 0)
            break;
        if (part > wanted - taken)
            part = wanted - taken;
        memcpy(into + taken, records->buffer + records->at, part);
        records->at += part;
        records->position += part;
        taken += part;
    }
    return taken;
}

uint32_t records_magic(struct records *records, const char *what) {
    uint32_t magic;
    if (take(records, (unsigned char *)&magic, sizeof magic) < sizeof magic)
        fail("%s: ends before the %s magic", records->name, what);
    return magic;
}

bool records_next(struct records *records, struct message *message) {
    uint64_t start = records->position;
    uint32_t length;
    size_t taken = take(records, (unsigned char *)&length, sizeof length);
    if (taken == 0)
        return false;
    if (taken < sizeof length)
        fail("%s: the length of the record at offset %" PRIu64 " is cut off", records->name, start);
    if (length > sizeof records->record)
        fail("%s: the record at offset %" PRIu64 " claims %" PRIu32 " bytes", records->name, start, length);
    if (take(records, records->record, length) < length)
        fail("%s: the record at offset %" PRIu64 " is cut off", records->name, start);
    message->at = records->record;
    message->end = records->record + length;
    return true;
}
