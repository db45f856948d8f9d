#define _GNU_SOURCE
#include "inventory.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "failure.h"
#include "records.h"
#include "report.h"

static const uint32_t INVENTORY_MAGIC = 0x58313116;
enum { FIELD_VERSION = 1, FIELD_DUMP_UPTIME = 8, FIELD_PRE_DUMP_MODE = 9, MODE_SPLICE = 1, MODE_READ = 2 };

struct inventory {
    bool has_version, has_uptime, has_mode;
    uint64_t uptime, mode;
};

static void need_varint(const struct field *field, const char *name, const char *what) {
    if (field->type != WIRE_VARINT)
        fail("%s: %s has wire type %d", name, what, (int)field->type);
}

static void take_field(struct inventory *inventory, const struct field *field, const char *name) {
    switch (field->number) {
    case FIELD_VERSION:
        need_varint(field, name, "img_version");
        inventory->has_version = true;
        break;
    case FIELD_DUMP_UPTIME:
        need_varint(field, name, "dump_uptime");
        inventory->has_uptime = true;
        inventory->uptime = field->value;
        break;
    case FIELD_PRE_DUMP_MODE:
        need_varint(field, name, "pre_dump_mode");
        inventory->has_mode = true;
        inventory->mode = field->value;
        break;
    }
}

static struct inventory read_inventory(int descriptor, const char *name) {
    struct records *records = allocate(sizeof *records);
    struct inventory inventory = {0};
    struct message message;
    struct field field;
    enum message_step step;
    records_start(records, descriptor, name);
    uint32_t magic = records_magic(records, "inventory");
    if (magic != INVENTORY_MAGIC)
        fail("%s: magic 0x%08" PRIx32 " is not that of an inventory", name, magic);
    if (!records_next(records, &message))
        fail("%s: has no record", name);
    while ((step = message_next(&message, &field)) == MESSAGE_FIELD)
        take_field(&inventory, &field, name);
    if (step == MESSAGE_BROKEN)
        fail("%s: the record is not a protobuf message", name);
    if (records_next(records, &message))
        report_form("%s: has more than one record", name);
    free(records);
    return inventory;
}

// /proc/uptime has seconds with two decimals; rounding up its last digit keeps a dump of this very moment in the past.
static uint64_t uptime_now_microseconds(void) {
    double seconds;
    FILE *file = fopen("/proc/uptime", "re");
    if (!file)
        fail_errno("cannot open /proc/uptime");
    if (fscanf(file, "%lf", &seconds) != 1)
        fail("cannot understand /proc/uptime");
    fclose(file);
    return (uint64_t)(seconds * 1e6 + 0.5) + 10000;
}

uint64_t inventory_check(int descriptor, const char *name) {
    struct inventory inventory = read_inventory(descriptor, name);
    uint64_t now = uptime_now_microseconds();
    if (!inventory.has_version)
        report_form("%s: has no img_version (field 1), which is required", name);
    if (!inventory.has_uptime)
        report_form("%s: has no dump_uptime (field 8)", name);
    else if (inventory.uptime == 0)
        report_form("%s: dump_uptime (field 8) is 0", name);
    else if (inventory.uptime > now)
        report_form("%s: dump_uptime %" PRIu64 " us lies in the future (now %" PRIu64 ")", name, inventory.uptime, now);
    if (!inventory.has_mode)
        report_form("%s: has no pre_dump_mode (field 9)", name);
    else if (inventory.mode != MODE_SPLICE && inventory.mode != MODE_READ)
        report_form("%s: pre_dump_mode %" PRIu64 " is neither 1 nor 2", name, inventory.mode);
    return inventory.uptime;
}
