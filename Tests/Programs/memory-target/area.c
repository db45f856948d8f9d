#define _GNU_SOURCE
#include "area.h"

#include <inttypes.h>
#include <pthread.h>
#include <sys/mman.h>

#include "mapping.h"

enum { FIRST_GENERATION = 1 };

// Damage that a rewrite would have covered up. It is never forgotten.
static struct check damage;
static pthread_mutex_t damage_lock = PTHREAD_MUTEX_INITIALIZER;

static void *area_page(const struct area *area, uint64_t index) {
    return page_at(area->base, area->layout == LAYOUT_ALTERNATE ? 2 * index : index);
}

static void write_page(struct area *area, uint64_t index, uint64_t generation) {
    struct pattern pattern = {REGION_MAIN, index, generation, area->random};
    pattern_fill(area_page(area, index), page_size() / sizeof(uint64_t), pattern);
    area->ledger[index] = generation;
}

void area_map(struct area *area) {
    size_t page = page_size();
    uint64_t pages = area->size / page;
    area->count = area->layout == LAYOUT_ALTERNATE ? (pages + 1) / 2 : pages;
    if (area->count == 0)
        return;
    area->base = map_backing(area->backing, pages * page);
    size_t ledger_size = (area->count * sizeof *area->ledger + page - 1) / page * page;
    area->ledger = map_guarded(ledger_size, page, 0, "the ledger");
    if (area->layout == LAYOUT_ALTERNATE || area->huge_pages == HUGE_PAGES_NO)
        advise(area->base, pages * page, MADV_NOHUGEPAGE);
    else if (area->huge_pages == HUGE_PAGES_YES)
        advise(area->base, pages * page, MADV_HUGEPAGE);
    for (uint64_t index = 0; index < area->count; index++)
        write_page(area, index, FIRST_GENERATION);
}

static void remember_damage(const struct area *area, uint64_t index, const char *why) {
    pthread_mutex_lock(&damage_lock);
    check_failed(&damage, "main page %" PRIu64 " at %p %s, seen when it was to be rewritten", index, area_page(area, index), why);
    pthread_mutex_unlock(&damage_lock);
}

void area_rewrite(struct area *area, uint64_t index) {
    char why[256];
    uint64_t generation = area->ledger[index];
    struct pattern pattern = {REGION_MAIN, index, generation, area->random};
    if (!pattern_matches(area_page(area, index), page_size() / sizeof(uint64_t), pattern, why, sizeof why))
        remember_damage(area, index, why);
    write_page(area, index, generation + 1);
}

static void report_damage(struct check *check) {
    pthread_mutex_lock(&damage_lock);
    if (damage.bad > 0) {
        check_failed(check, "%s", damage.first);
        check->bad += damage.bad - 1;
    }
    pthread_mutex_unlock(&damage_lock);
}

uint64_t area_check(const struct area *area, uint64_t writes, struct check *check) {
    uint64_t highest = 0, sum = 0;
    report_damage(check);
    for (uint64_t index = 0; index < area->count; index++) {
        uint64_t generation = area->ledger[index];
        struct pattern pattern = {REGION_MAIN, index, generation, area->random};
        check_block(check, area_page(area, index), page_size(), pattern);
        sum += generation;
        if (generation > highest)
            highest = generation;
    }
    // Finds a ledger page that is as old as the pages it speaks of.
    uint64_t expected = area->count * FIRST_GENERATION + writes;
    if (sum != expected)
        check_failed(check, "ledger at %p: generations add up to %" PRIu64 ", but %" PRIu64 " pages were written",
                     (void *)area->ledger, sum, expected);
    return highest;
}
