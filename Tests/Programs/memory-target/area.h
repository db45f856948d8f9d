// The main area: pages that are rewritten while the process runs, and the ledger of what each must hold.
#ifndef MEMORY_TARGET_AREA_H
#define MEMORY_TARGET_AREA_H

#include "backing.h"
#include "check.h"

enum layout { LAYOUT_DENSE, LAYOUT_ALTERNATE };
enum huge_pages { HUGE_PAGES_DEFAULT, HUGE_PAGES_YES, HUGE_PAGES_NO };

struct area {
    unsigned char *base;
    uint64_t size;
    enum backing backing;
    enum layout layout;
    enum huge_pages huge_pages;
    bool random;
    uint64_t count;   // populated pages
    uint64_t *ledger; // the generation of each of them, away from the pages themselves
};

void area_map(struct area *area);

// Checks the page first: else the rewrite would hide that it had been lost. What is wrong comes out at the next area_check.
// Only one thread at a time may rewrite a given page.
void area_rewrite(struct area *area, uint64_t index);

// Nobody may rewrite meanwhile. `writes`: how many rewrites there have been since area_map.
// Returns the highest generation.
uint64_t area_check(const struct area *area, uint64_t writes, struct check *check);

#endif
