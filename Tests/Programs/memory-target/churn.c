#define _GNU_SOURCE
#include "churn.h"

#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mapping.h"
#include "status.h"

enum { SLOTS = 64, SLOT_PAGES = 16 };
// Those of newer kernels; older ones refuse, which is no matter.
enum { GUARD_INSTALL = 102, GUARD_REMOVE = 103 };

enum state {
    RESERVED, // mapped inaccessible, to keep everybody else out
    HOLE,     // not mapped at all
    USED
};

struct churner {
    unsigned char *base;
    uint64_t random;
    enum state state[SLOTS];
};

static struct churner churners[MAX_CHURNERS];

static size_t slot_size(void) { return SLOT_PAGES * page_size(); }

void churn_map(struct churn *churn) {
    if (churn->threads == 0)
        return;
    size_t size = churn->threads * SLOTS * slot_size();
    churn->base = map_guarded(size, page_size(), MAP_NORESERVE, "--churn");
    set_protection(churn->base, size, PROT_NONE, "--churn");
    churn->end = (unsigned char *)churn->base + size;
    advise(churn->base, size, MADV_NOHUGEPAGE);
}

static uint64_t below(struct churner *churner, uint64_t limit) {
    churner->random = xorshift(churner->random);
    return (churner->random >> 11) % limit;
}

static void *slot_start(const struct churner *churner, unsigned slot) { return churner->base + slot * slot_size(); }

static void fill_some(struct churner *churner, void *start, uint64_t pages) {
    uint64_t first = below(churner, pages), end = first + 1 + below(churner, pages - first);
    for (uint64_t index = first; index < end; index++) {
        uint64_t *words = page_at(start, index);
        for (size_t at = 0; at < page_size() / sizeof *words; at++)
            words[at] = (uintptr_t)(words + at);
    }
}

// In a hole somebody else may have mapped something: then it stays a hole for us.
static bool map_slot(struct churner *churner, unsigned slot, int protection) {
    int place = churner->state[slot] == HOLE ? MAP_FIXED_NOREPLACE : MAP_FIXED;
    void *start = slot_start(churner, slot);
    return mmap(start, slot_size(), protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | place, -1, 0) == start;
}

static void use(struct churner *churner, unsigned slot) {
    if (!map_slot(churner, slot, PROT_READ | PROT_WRITE))
        return;
    churner->state[slot] = USED;
    fill_some(churner, slot_start(churner, slot), SLOT_PAGES);
}

static void move(struct churner *churner, unsigned from) {
    unsigned to = (unsigned)below(churner, SLOTS);
    if (to == from || churner->state[to] == HOLE)
        return;
    // Fails if the slot is of several mappings by now.
    void *moved = mremap(slot_start(churner, from), slot_size(), slot_size(), MREMAP_MAYMOVE | MREMAP_FIXED, slot_start(churner, to));
    if (moved == MAP_FAILED)
        return;
    churner->state[to] = USED;
    churner->state[from] = HOLE;
}

static void leave(struct churner *churner, unsigned slot, bool reserve) {
    if (reserve && map_slot(churner, slot, PROT_NONE)) {
        churner->state[slot] = RESERVED;
    } else {
        munmap(slot_start(churner, slot), slot_size());
        churner->state[slot] = HOLE;
    }
}

static void fork_once(void) {
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    if (child > 0)
        waitpid(child, NULL, 0);
}

// Some pages of a slot that is in use, whatever has become of them meanwhile.
static void change_part(struct churner *churner, unsigned slot) {
    static const int protections[] = {PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE};
    static const int advices[] = {MADV_DONTNEED, MADV_FREE, GUARD_INSTALL, GUARD_REMOVE};
    uint64_t first = below(churner, SLOT_PAGES), pages = 1 + below(churner, SLOT_PAGES - first);
    void *start = page_at(slot_start(churner, slot), first);
    size_t size = pages * page_size();
    if (below(churner, 2) == 0)
        (void)mprotect(start, size, protections[below(churner, 3)]);
    else
        (void)madvise(start, size, advices[below(churner, 4)]);
}

static void change(struct churner *churner) {
    unsigned slot = (unsigned)below(churner, SLOTS);
    if (churner->state[slot] != USED) {
        use(churner, slot);
        return;
    }
    switch (below(churner, 8)) {
    case 0: move(churner, slot); break;
    case 1: leave(churner, slot, true); break;
    case 2: leave(churner, slot, false); break;
    case 3: use(churner, slot); break;
    default: change_part(churner, slot);
    }
    if (below(churner, 5000) == 0)
        fork_once();
}

static void *churner_main(void *argument) {
    for (;;)
        change(argument);
    return NULL;
}

void churn_start(const struct churn *churn) {
    for (unsigned at = 0; at < churn->threads; at++) {
        struct churner *churner = &churners[at];
        churner->base = (unsigned char *)churn->base + at * SLOTS * slot_size();
        churner->random = 0x9e3779b97f4a7c15 + at * 1000003;
        pthread_t thread;
        if ((errno = pthread_create(&thread, NULL, churner_main, churner)) != 0)
            die_errno("cannot start churner %u", at);
    }
}
