// What was found: counts, and the first few places of each kind of difference.
#ifndef IMAGE_COMPARE_REPORT_H
#define IMAGE_COMPARE_REPORT_H

#include <stdbool.h>
#include <stdint.h>

enum kind {
    // differing
    DIFFERING,
    DIFFERING_UNREADABLE,
    DIFFERING_BEYOND_FILE,
    // missing
    MISSING,
    MISSING_VDSO,
    MISSING_HUGE_ZERO,
    MISSING_IN_PARENT,
    // extra
    EXTRA_NOT_POPULATED,
    EXTRA_ZERO_PAGE,
    EXTRA_FILE_PAGE,
    EXTRA_GUARD,
    EXTRA_NEVER_DUMPED,
    EXTRA_OUTSIDE,
    // form errors that belong to an entry
    FORM_NO_OLD_COUNT,
    FORM_NO_NEW_COUNT,
    FORM_COUNTS_DIFFER,
    FORM_EMPTY,
    FORM_NO_CONTENT,
    FORM_NOT_MERGED,
    FORM_OUTSIDE,
    FORM_UNRESOLVED,
    KIND_COUNT
};

struct report {
    uint64_t expected, in_images, equal;
};
extern struct report report;

// `where`: the VMA's or the file's name. For FORM_ kinds `pages` is how far the entry reaches; it counts as one error.
void report_at(enum kind kind, uint64_t address, uint64_t pages, const char *where);

// An error in the form of the images that belongs to no address: printed at once.
void report_form(const char *format, ...) __attribute__((format(printf, 1, 2)));

// The lines for all kinds, then the summary. True if nothing was wrong.
bool report_print(void);

#endif
