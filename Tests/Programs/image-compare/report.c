#define _GNU_SOURCE
#include "report.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum group { GROUP_DIFFERING, GROUP_MISSING, GROUP_EXTRA, GROUP_FORM, GROUP_COUNT };
enum { PLACES = 5, FORM_LINES = 20 };

static const struct {
    enum group group;
    const char *text;
} KINDS[KIND_COUNT] = {
    [DIFFERING] = {GROUP_DIFFERING, "content differs"},
    [DIFFERING_UNREADABLE] = {GROUP_DIFFERING, "in the images, but unreadable in the process"},
    [DIFFERING_BEYOND_FILE] = {GROUP_DIFFERING, "bytes lie beyond the end of the pages file"},
    [MISSING] = {GROUP_MISSING, "populated, but not in the images"},
    [MISSING_VDSO] = {GROUP_MISSING, "vdso page not in the images"},
    [MISSING_HUGE_ZERO] = {GROUP_MISSING, "huge zero page not in the images"},
    [MISSING_IN_PARENT] = {GROUP_MISSING, "needed, and marked as in the parent, which does not have it"},
    [EXTRA_NOT_POPULATED] = {GROUP_EXTRA, "in the images, but not populated"},
    [EXTRA_ZERO_PAGE] = {GROUP_EXTRA, "in the images, but only the zero page"},
    [EXTRA_FILE_PAGE] = {GROUP_EXTRA, "in the images, but an uncopied page of a file"},
    [EXTRA_GUARD] = {GROUP_EXTRA, "in the images, but a guard page"},
    [EXTRA_NEVER_DUMPED] = {GROUP_EXTRA, "in the images, but of a mapping that is never dumped"},
    [EXTRA_OUTSIDE] = {GROUP_EXTRA, "in the images, but outside every mapping"},
    [FORM_NO_OLD_COUNT] = {GROUP_FORM, "entry without the page count in field 2"},
    [FORM_NO_NEW_COUNT] = {GROUP_FORM, "entry without the page count in field 5"},
    [FORM_COUNTS_DIFFER] = {GROUP_FORM, "entry whose fields 2 and 5 differ"},
    [FORM_EMPTY] = {GROUP_FORM, "entry of no pages"},
    [FORM_NO_CONTENT] = {GROUP_FORM, "entry that is neither PRESENT nor PARENT"},
    [FORM_NOT_MERGED] = {GROUP_FORM, "entry not merged with the one before it"},
    [FORM_OUTSIDE] = {GROUP_FORM, "entry that reaches outside every mapping"},
    [FORM_UNRESOLVED] = {GROUP_FORM, "PARENT entry without content in the parent"},
};

struct place {
    uint64_t start, end;
    char where[96];
};

struct report report;
static uint64_t counts[KIND_COUNT];
static struct place places[KIND_COUNT][PLACES];
static unsigned place_counts[KIND_COUNT];
static uint64_t form_errors;

static void remember_place(enum kind kind, uint64_t start, uint64_t end, const char *where) {
    unsigned known = place_counts[kind];
    struct place *last = known > 0 ? &places[kind][known - 1] : NULL;
    if (last && last->end == start && strncmp(last->where, where, sizeof last->where - 1) == 0) {
        last->end = end;
        return;
    }
    if (known == PLACES)
        return;
    struct place *place = &places[kind][place_counts[kind]++];
    place->start = start;
    place->end = end;
    snprintf(place->where, sizeof place->where, "%s", where);
}

void report_at(enum kind kind, uint64_t address, uint64_t pages, const char *where) {
    bool form = KINDS[kind].group == GROUP_FORM;
    counts[kind] += form ? 1 : pages;
    remember_place(kind, address, address + pages * (uint64_t)sysconf(_SC_PAGESIZE), where);
}

void report_form(const char *format, ...) {
    if (form_errors++ >= FORM_LINES)
        return;
    va_list arguments;
    va_start(arguments, format);
    fputs("form error: ", stdout);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
}

static void print_kind(enum kind kind) {
    printf("%s: %" PRIu64 ":", KINDS[kind].text, counts[kind]);
    for (unsigned at = 0; at < place_counts[kind]; at++) {
        const struct place *place = &places[kind][at];
        printf("%s 0x%" PRIx64 "-0x%" PRIx64 " %s", at > 0 ? "," : "", place->start, place->end, place->where);
    }
    puts(place_counts[kind] == PLACES ? ", ..." : "");
}

bool report_print(void) {
    uint64_t sums[GROUP_COUNT] = {[GROUP_FORM] = form_errors};
    for (enum kind kind = 0; kind < KIND_COUNT; kind++) {
        if (counts[kind] == 0)
            continue;
        sums[KINDS[kind].group] += counts[kind];
        print_kind(kind);
    }
    printf("expected=%" PRIu64 " in_images=%" PRIu64 " equal=%" PRIu64 " differing=%" PRIu64 " missing=%" PRIu64 " extra=%" PRIu64
           " form_errors=%" PRIu64 "\n",
           report.expected, report.in_images, report.equal, sums[GROUP_DIFFERING], sums[GROUP_MISSING], sums[GROUP_EXTRA],
           sums[GROUP_FORM]);
    return sums[GROUP_DIFFERING] + sums[GROUP_MISSING] + sums[GROUP_EXTRA] + sums[GROUP_FORM] == 0;
}
