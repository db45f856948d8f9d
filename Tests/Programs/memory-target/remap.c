#define _GNU_SOURCE
#include "remap.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "clock.h"
#include "mapping.h"
#include "status.h"

enum { SLOTS = 64, MOST_PAGES = 64 };
static const int64_t SLEEP_NANOSECONDS = 300 * 1000;

struct page {
    uint64_t generation; // 0: all zero
    bool may_be_freed;   // by MADV_FREE: it may be all zero as well, from any moment on until it is written
};

struct slot {
    unsigned char *base;
    unsigned count; // pages; 0: nothing is mapped
    int protection;
    struct page pages[MOST_PAGES];
};

static struct {
    pthread_mutex_t lock;
    struct slot slots[SLOTS];
    uint64_t random, generation;
    struct check damage; // never forgotten
    _Atomic uint64_t operations;
} remap = {.lock = PTHREAD_MUTEX_INITIALIZER, .random = 0x9e3779b97f4a7c15};

static unsigned random_below(unsigned limit) {
    remap.random = xorshift(remap.random);
    return (unsigned)((remap.random >> 11) % limit);
}

static size_t bytes(unsigned pages) { return pages * page_size(); }

static void *address(const struct slot *slot, unsigned at) { return slot->base + bytes(at); }

static void check_page(struct check *check, struct slot *slot, unsigned at) {
    char why[256];
    uint64_t number = (uint64_t)(slot - remap.slots) * MOST_PAGES + at;
    struct page *page = &slot->pages[at];
    struct pattern pattern = {REGION_REMAP, number, page->generation, false};
    size_t words = page_size() / sizeof(uint64_t);
    check->pages++;
    if (page->generation > 0 && pattern_matches(address(slot, at), words, pattern, why, sizeof why))
        return;
    // After the pattern, not before: the kernel may free the page in between.
    if ((page->generation == 0 || page->may_be_freed) && words_are_zero(address(slot, at), words)) {
        *page = (struct page){0};
        return;
    }
    check_failed(check, "remap page %llu at %p %s", (unsigned long long)number, address(slot, at),
                 page->generation > 0 ? why : "is not zero");
}

// Before they go or change: else that would hide that they had been lost.
static void check_pages(struct slot *slot, unsigned first, unsigned end) {
    if (slot->protection == PROT_NONE)
        return;
    for (unsigned at = first; at < end; at++)
        check_page(&remap.damage, slot, at);
}

static void write_page(struct slot *slot, unsigned at) {
    uint64_t number = (uint64_t)(slot - remap.slots) * MOST_PAGES + at;
    slot->pages[at] = (struct page){.generation = ++remap.generation};
    pattern_fill(address(slot, at), page_size() / sizeof(uint64_t),
                 (struct pattern){REGION_REMAP, number, remap.generation, false});
}

static void set_zero(struct slot *slot, unsigned first, unsigned end) {
    for (unsigned at = first; at < end; at++)
        slot->pages[at] = (struct page){0};
}

static void *map(void *place, unsigned count, int protection, int flags) {
    void *base = mmap(place, bytes(count), protection, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
    if (base == MAP_FAILED)
        die_errno("mmap for --remap");
    return base;
}

static void map_slot(struct slot *slot) {
    slot->count = 1 + random_below(MOST_PAGES);
    slot->protection = PROT_READ | PROT_WRITE;
    slot->base = map(NULL, slot->count, slot->protection, 0);
    set_zero(slot, 0, slot->count);
    for (unsigned at = 0; at < slot->count; at++)
        if (random_below(2))
            write_page(slot, at);
}

static void unmap_slot(struct slot *slot) {
    check_pages(slot, 0, slot->count);
    if (munmap(slot->base, bytes(slot->count)) != 0)
        die_errno("munmap for --remap");
    slot->count = 0;
}

// New memory in the place of the old, by a single system call.
static void replace_slot(struct slot *slot) {
    check_pages(slot, 0, slot->count);
    slot->protection = PROT_READ | PROT_WRITE;
    map(slot->base, slot->count, slot->protection, MAP_FIXED);
    set_zero(slot, 0, slot->count);
}

static void remap_slot(struct slot *slot, unsigned count, int flags, void *place) {
    check_pages(slot, count < slot->count ? count : slot->count, slot->count);
    void *base = mremap(slot->base, bytes(slot->count), bytes(count), flags, place);
    if (base == MAP_FAILED)
        die_errno("mremap for --remap");
    if (count > slot->count)
        set_zero(slot, slot->count, count);
    slot->base = base;
    slot->count = count;
}

static void resize_slot(struct slot *slot) { remap_slot(slot, 1 + random_below(MOST_PAGES), MREMAP_MAYMOVE, NULL); }

static void move_slot(struct slot *slot) {
    void *place = map(NULL, slot->count, PROT_NONE, 0);
    remap_slot(slot, slot->count, MREMAP_MAYMOVE | MREMAP_FIXED, place);
}

// What is not readable becomes so again without a write, most of the time.
static void protect_slot(struct slot *slot) {
    static const int protections[] = {PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE};
    slot->protection = protections[random_below(3)];
    set_protection(slot->base, bytes(slot->count), slot->protection, "--remap");
}

static void advise_pages(struct slot *slot, int advice) {
    unsigned first = random_below(slot->count), end = first + 1 + random_below(slot->count - first);
    check_pages(slot, first, end);
    if (madvise(address(slot, first), bytes(end - first), advice) != 0)
        die_errno("madvise for --remap");
    if (advice == MADV_DONTNEED)
        set_zero(slot, first, end);
    for (unsigned at = first; at < end; at++)
        slot->pages[at].may_be_freed = true;
}

static void write_pages(struct slot *slot) {
    if (slot->protection != (PROT_READ | PROT_WRITE))
        return;
    for (unsigned count = 1 + random_below(8); count > 0; count--) {
        unsigned at = random_below(slot->count);
        check_pages(slot, at, at + 1);
        write_page(slot, at);
    }
}

static void operate(struct slot *slot) {
    if (slot->count == 0) {
        map_slot(slot);
        return;
    }
    switch (random_below(12)) {
    case 0: unmap_slot(slot); break;
    case 1: replace_slot(slot); break;
    case 2: resize_slot(slot); break;
    case 3: move_slot(slot); break;
    case 4: advise_pages(slot, MADV_DONTNEED); break;
    case 5: advise_pages(slot, MADV_FREE); break;
    // Reads what may never have been touched.
    case 6: check_pages(slot, 0, slot->count); break;
    case 7: case 8: case 9: protect_slot(slot); break;
    default: write_pages(slot);
    }
}

static void *remap_main(void *unused) {
    for (;;) {
        pthread_mutex_lock(&remap.lock);
        // Some are left alone for long: so there are old pages as well.
        operate(&remap.slots[random_below(4) > 0 ? random_below(SLOTS / 4) : random_below(SLOTS)]);
        atomic_fetch_add(&remap.operations, 1);
        pthread_mutex_unlock(&remap.lock);
        sleep_nanoseconds(SLEEP_NANOSECONDS);
    }
    return unused;
}

void remap_start(void) {
    pthread_t thread;
    for (unsigned at = 0; at < SLOTS; at++)
        map_slot(&remap.slots[at]);
    if ((errno = pthread_create(&thread, NULL, remap_main, NULL)) != 0)
        die_errno("cannot start the thread of --remap");
}

void remap_hold(void) { pthread_mutex_lock(&remap.lock); }

void remap_release(void) { pthread_mutex_unlock(&remap.lock); }

void remap_check(struct check *check) {
    for (unsigned number = 0; number < SLOTS; number++) {
        struct slot *slot = &remap.slots[number];
        if (slot->count > 0 && slot->protection == PROT_NONE)
            set_protection(slot->base, bytes(slot->count), PROT_READ, "--remap");
        for (unsigned at = 0; at < slot->count; at++)
            check_page(check, slot, at);
        if (slot->count > 0 && slot->protection == PROT_NONE)
            set_protection(slot->base, bytes(slot->count), PROT_NONE, "--remap");
    }
    if (remap.damage.bad > 0) {
        check_failed(check, "%s, seen before it was to change", remap.damage.first);
        check->bad += remap.damage.bad - 1;
    }
}

uint64_t remap_operations(void) { return atomic_load(&remap.operations); }
