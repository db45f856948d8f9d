#define _GNU_SOURCE
#include "compare.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "failure.h"
#include "report.h"

enum { BLOCK_BYTES = 1024 * 1024, MOST_BLOCK_PAGES = BLOCK_BYTES / 4096, WINDOW_PAGES = 128 * 1024 };

enum need { NEED_NOT, NEED_EITHER, NEED_UNLESS_ZERO, NEED_YES };

// Up to BLOCK_BYTES of consecutive pages, seen from both sides.
struct block {
    uint64_t start;
    size_t pages;
    const uint64_t *states; // NULL if nobody asked: the whole block is needed, or none of it
    enum need need[MOST_BLOCK_PAGES];
    enum kind extra_kind[MOST_BLOCK_PAGES]; // what it is if it is there without need
    struct source source[MOST_BLOCK_PAGES];
    bool target_read[MOST_BLOCK_PAGES], image_read[MOST_BLOCK_PAGES];
    unsigned char *target_bytes, *image_bytes;
};

struct comparison {
    struct target *target;
    struct chain *chain;
    struct compare_options options;
    size_t page, block_pages;
    uint64_t *window;
    struct block block;
    uint64_t let_pass_extra_zero, let_pass_maybe_zero, let_pass_unreadable;
};

static uint64_t address_of(const struct comparison *comparison, size_t index) {
    return comparison->block.start + index * comparison->page;
}

static unsigned char *target_page(const struct comparison *comparison, size_t index) {
    return comparison->block.target_bytes + index * comparison->page;
}

static unsigned char *image_page(const struct comparison *comparison, size_t index) {
    return comparison->block.image_bytes + index * comparison->page;
}

static bool is_zero(const unsigned char *bytes, size_t size) { return bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0; }

// The rules of a pre-dump for one page of a private mapping.
static void decide(const struct comparison *comparison, const struct vma *vma, uint64_t state, enum need *need, enum kind *extra) {
    *need = NEED_NOT;
    *extra = EXTRA_NOT_POPULATED;
    bool present = page_has(state, PAGE_PRESENT);
    if (page_has(state, PAGE_GUARD)) {
        *extra = EXTRA_GUARD;
        return;
    }
    if (!present && !page_has(state, PAGE_SWAPPED))
        return;
    // In anonymous memory the bit says nothing: the huge zero page has it too.
    if (vma->class == VMA_PRIVATE_FILE && page_has(state, PAGE_FILE_OR_SHARED)) {
        *extra = EXTRA_FILE_PAGE;
        return;
    }
    if (target_is_zero_page(comparison->target, state)) {
        *extra = EXTRA_ZERO_PAGE;
        return;
    }
    if (vma->class == VMA_EITHER)
        *need = NEED_EITHER;
    else
        *need = present && !target_frames_visible(comparison->target) ? NEED_UNLESS_ZERO : NEED_YES;
}

static void find_needs(struct comparison *comparison, const struct vma *vma) {
    struct block *block = &comparison->block;
    for (size_t at = 0; at < block->pages; at++) {
        block->need[at] = vma->class == VMA_VDSO ? NEED_YES : NEED_NOT;
        block->extra_kind[at] = EXTRA_NEVER_DUMPED;
        if (block->states)
            decide(comparison, vma, block->states[at], &block->need[at], &block->extra_kind[at]);
    }
}

static void find_sources(struct comparison *comparison) {
    struct block *block = &comparison->block;
    for (size_t at = 0; at < block->pages; at++)
        block->source[at] = chain_find(comparison->chain, address_of(comparison, at));
}

static void read_target_run(struct comparison *comparison, size_t first, size_t end) {
    struct block *block = &comparison->block;
    size_t page = comparison->page;
    while (first < end) {
        size_t got = target_read(comparison->target, address_of(comparison, first), target_page(comparison, first), (end - first) * page);
        for (size_t pages = got / page; pages > 0; pages--)
            block->target_read[first++] = true;
        first++; // the page that could not be read
    }
}

// Only needed pages: a read of a page that is not populated would populate it.
static void read_target(struct comparison *comparison) {
    struct block *block = &comparison->block;
    memset(block->target_read, 0, sizeof block->target_read);
    for (size_t first = 0, end; first < block->pages; first = end) {
        for (end = first; end < block->pages && block->need[end] != NEED_NOT; end++) {
        }
        read_target_run(comparison, first, end);
        if (end == first)
            end++;
    }
}

static bool follows(const struct comparison *comparison, const struct source *before, const struct source *source) {
    return source->state == SOURCE_FOUND && source->level == before->level && source->offset == before->offset + comparison->page;
}

static void read_images(struct comparison *comparison) {
    struct block *block = &comparison->block;
    memset(block->image_read, 0, sizeof block->image_read);
    for (size_t first = 0, end; first < block->pages; first = end) {
        const struct source *source = &block->source[first];
        end = first + 1;
        if (source->state != SOURCE_FOUND)
            continue;
        while (end < block->pages && follows(comparison, &block->source[end - 1], &block->source[end]))
            end++;
        size_t got = chain_read(comparison->chain, source->level, source->offset, image_page(comparison, first),
                                (end - first) * comparison->page);
        for (size_t pages = 0; pages < got / comparison->page; pages++)
            block->image_read[first + pages] = true;
    }
}

static void judge_extra(struct comparison *comparison, const struct vma *vma, size_t at) {
    const struct block *block = &comparison->block;
    report.in_images++;
    bool zero = block->image_read[at] && is_zero(image_page(comparison, at), comparison->page);
    if (zero && comparison->options.allow_extra_zero)
        comparison->let_pass_extra_zero++;
    else
        report_at(block->extra_kind[at], address_of(comparison, at), 1, vma->name);
}

static void judge_both(struct comparison *comparison, const struct vma *vma, size_t at) {
    const struct block *block = &comparison->block;
    report.expected++;
    report.in_images++;
    if (!block->image_read[at])
        report_at(DIFFERING_BEYOND_FILE, address_of(comparison, at), 1, vma->name);
    else if (!block->target_read[at])
        report_at(DIFFERING_UNREADABLE, address_of(comparison, at), 1, vma->name);
    else if (memcmp(target_page(comparison, at), image_page(comparison, at), comparison->page) != 0)
        report_at(DIFFERING, address_of(comparison, at), 1, vma->name);
    else
        report.equal++;
}

static enum kind missing_kind(const struct comparison *comparison, const struct vma *vma, size_t at) {
    const struct block *block = &comparison->block;
    if (block->source[at].state == SOURCE_UNRESOLVED)
        return MISSING_IN_PARENT;
    if (vma->class == VMA_VDSO)
        return MISSING_VDSO;
    return target_is_huge_zero_page(comparison->target, block->states[at]) ? MISSING_HUGE_ZERO : MISSING;
}

static void judge_missing(struct comparison *comparison, const struct vma *vma, size_t at) {
    const struct block *block = &comparison->block;
    bool zero = block->target_read[at] && is_zero(target_page(comparison, at), comparison->page);
    if (block->need[at] == NEED_UNLESS_ZERO && zero) {
        comparison->let_pass_maybe_zero++;
        return;
    }
    // Kernels before 6.15 show a guard page as a swapped one.
    if (block->states && !page_has(block->states[at], PAGE_PRESENT) && !block->target_read[at]) {
        comparison->let_pass_unreadable++;
        return;
    }
    report.expected++;
    report_at(missing_kind(comparison, vma, at), address_of(comparison, at), 1, vma->name);
}

static void judge(struct comparison *comparison, const struct vma *vma, size_t at) {
    const struct block *block = &comparison->block;
    bool found = block->source[at].state == SOURCE_FOUND;
    if (block->source[at].state == SOURCE_UNRESOLVED)
        report_at(FORM_UNRESOLVED, address_of(comparison, at), 1, vma->name);
    if (block->need[at] == NEED_NOT && found)
        judge_extra(comparison, vma, at);
    else if (block->need[at] != NEED_NOT && found)
        judge_both(comparison, vma, at);
    else if (block->need[at] == NEED_YES || block->need[at] == NEED_UNLESS_ZERO)
        judge_missing(comparison, vma, at);
}

static void compare_block(struct comparison *comparison, const struct vma *vma, uint64_t start, size_t pages, const uint64_t *states) {
    comparison->block.start = start;
    comparison->block.pages = pages;
    comparison->block.states = states;
    find_needs(comparison, vma);
    find_sources(comparison);
    read_target(comparison);
    read_images(comparison);
    for (size_t at = 0; at < pages; at++)
        judge(comparison, vma, at);
}

static size_t smaller(uint64_t one, uint64_t other) { return (size_t)(one < other ? one : other); }

// All of the mapping, without a look at its page states.
static void compare_whole(struct comparison *comparison, const struct vma *vma) {
    uint64_t pages;
    for (uint64_t at = vma->start; at < vma->end; at += pages * comparison->page) {
        pages = smaller((vma->end - at) / comparison->page, comparison->block_pages);
        compare_block(comparison, vma, at, pages, NULL);
    }
}

// Nothing of the mapping is needed: only what the images have of it matters.
static void compare_unneeded(struct comparison *comparison, const struct vma *vma) {
    uint64_t at = vma->start, start, end;
    while (at < vma->end && chain_next_run(comparison->chain, at, &start, &end) && start < vma->end) {
        size_t pages = smaller((smaller(end, vma->end) - start) / comparison->page, comparison->block_pages);
        compare_block(comparison, vma, start, pages, NULL);
        at = start + pages * comparison->page;
    }
}

static bool may_be_needed(uint64_t state) { return state >> PAGE_SWAPPED != 0; }

static uint64_t next_image_address(struct comparison *comparison, uint64_t address) {
    uint64_t start, end;
    return chain_next_run(comparison->chain, address, &start, &end) ? start : UINT64_MAX;
}

static void compare_window(struct comparison *comparison, const struct vma *vma, uint64_t start, size_t pages) {
    uint64_t *states = comparison->window;
    target_page_states(comparison->target, start, states, pages);
    for (size_t at = 0; at < pages;) {
        uint64_t image = next_image_address(comparison, start + at * comparison->page);
        size_t image_at = smaller((image - start) / comparison->page, pages);
        while (at < image_at && !may_be_needed(states[at]))
            at++;
        if (at == pages)
            break;
        size_t part = smaller(pages - at, comparison->block_pages);
        compare_block(comparison, vma, start + at * comparison->page, part, states + at);
        at += part;
    }
}

static void compare_by_state(struct comparison *comparison, const struct vma *vma) {
    size_t pages;
    for (uint64_t at = vma->start; at < vma->end; at += pages * comparison->page) {
        pages = smaller((vma->end - at) / comparison->page, WINDOW_PAGES);
        compare_window(comparison, vma, at, pages);
    }
}

static void compare_vma(struct comparison *comparison, const struct vma *vma) {
    switch (vma->class) {
    case VMA_VDSO: compare_whole(comparison, vma); break;
    case VMA_NEVER: compare_unneeded(comparison, vma); break;
    case VMA_EITHER:
    case VMA_PRIVATE_ANONYMOUS:
    case VMA_PRIVATE_FILE: compare_by_state(comparison, vma); break;
    }
}

// Counts by runs, never by pages: a hostile entry may claim most of the address space.
static void report_outside(struct comparison *comparison, uint64_t from, uint64_t to) {
    uint64_t start, end;
    while (from < to && chain_next_run(comparison->chain, from, &start, &end) && start < to) {
        if (end > to)
            end = to;
        uint64_t pages = (end - start) / comparison->page;
        report.in_images += pages;
        report_at(EXTRA_OUTSIDE, start, pages, "(no mapping)");
        // A process that runs may have unmapped it since.
        if (!comparison->options.live)
            report_at(FORM_OUTSIDE, start, pages, "(no mapping)");
        from = end;
    }
}

static void list_vma(const struct vma *vma, struct report before) {
    printf("vma 0x%" PRIx64 "-0x%" PRIx64 " %s expected=%" PRIu64 " in_images=%" PRIu64 " equal=%" PRIu64 " %s\n", vma->start, vma->end,
           vma->permissions, report.expected - before.expected, report.in_images - before.in_images, report.equal - before.equal, vma->name);
}

static void print_let_pass(const struct comparison *comparison) {
    if (!target_frames_visible(comparison->target))
        printf("note: frame numbers are hidden (CAP_SYS_ADMIN is needed): zero pages count as right either way; %" PRIu64
               " zero pages are not in the images\n",
               comparison->let_pass_maybe_zero);
    if (comparison->let_pass_extra_zero > 0)
        printf("note: %" PRIu64 " extra pages are all zero and allowed\n", comparison->let_pass_extra_zero);
    if (comparison->let_pass_unreadable > 0)
        printf("note: %" PRIu64 " pages look swapped, are unreadable and not in the images: taken for guard pages\n",
               comparison->let_pass_unreadable);
}

void compare(struct target *target, struct chain *chain, struct compare_options options) {
    struct comparison *comparison = allocate(sizeof *comparison);
    struct vma vma;
    uint64_t reached = 0;
    *comparison = (struct comparison){.target = target, .chain = chain, .options = options, .page = (size_t)sysconf(_SC_PAGESIZE)};
    comparison->block_pages = BLOCK_BYTES / comparison->page;
    comparison->window = allocate(WINDOW_PAGES * sizeof *comparison->window);
    comparison->block.target_bytes = allocate(BLOCK_BYTES);
    comparison->block.image_bytes = allocate(BLOCK_BYTES);
    while (target_next_vma(target, &vma)) {
        // A mapping of a running process that grew downwards or moved while we read.
        if (vma.start < reached)
            continue;
        struct report before = report;
        report_outside(comparison, reached, vma.start);
        compare_vma(comparison, &vma);
        reached = vma.end;
        if (options.list)
            list_vma(&vma, before);
    }
    report_outside(comparison, reached, UINT64_MAX);
    print_let_pass(comparison);
}
