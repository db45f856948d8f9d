#define _GNU_SOURCE
#include "stall.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#include "clock.h"
#include "mapping.h"
#include "status.h"

static const int64_t SLEEP_NANOSECONDS = 50 * 1000;
enum { ITERATIONS_PER_REWRITE = 512, BUSY_STEPS = 64 };

static struct {
    pthread_mutex_t rewriting; // held by the thread only while it rewrites, by a checker for all of its check
    atomic_bool held;
    _Atomic int64_t longest;
    _Atomic uint64_t writes;
    struct area *area;
    uint64_t own_page;
    volatile uint64_t *touched;
} stall = {.rewriting = PTHREAD_MUTEX_INITIALIZER};

static void busy_work(uint64_t iteration) {
    for (unsigned step = 0; step < BUSY_STEPS; step++)
        stall.touched[step] = iteration + step;
}

static void rewrite_own_page(void) {
    if (stall.area->count == 0)
        return;
    // Never waits: waiting for the checker would look like a stall.
    if (pthread_mutex_trylock(&stall.rewriting) != 0)
        return;
    area_rewrite(stall.area, stall.own_page);
    atomic_fetch_add(&stall.writes, 1);
    pthread_mutex_unlock(&stall.rewriting);
}

static void record(int64_t gap) {
    if (atomic_load(&stall.held))
        return;
    // Not a plain store: a reset may come in between.
    int64_t longest = atomic_load(&stall.longest);
    while (gap > longest && !atomic_compare_exchange_weak(&stall.longest, &longest, gap)) {
    }
}

static void *stall_main(void *unused) {
    int64_t last = monotonic_nanoseconds();
    for (uint64_t iteration = 1;; iteration++) {
        busy_work(iteration);
        if (iteration % ITERATIONS_PER_REWRITE == 0)
            rewrite_own_page();
        sleep_nanoseconds(SLEEP_NANOSECONDS);
        int64_t now = monotonic_nanoseconds();
        record(now - last - SLEEP_NANOSECONDS);
        last = now;
    }
    return unused;
}

void stall_start(struct area *area, uint64_t own_page) {
    stall.area = area;
    stall.own_page = own_page;
    stall.touched = map_guarded(page_size(), page_size(), 0, "the stall thread's page");
    pthread_t thread;
    if ((errno = pthread_create(&thread, NULL, stall_main, NULL)) != 0)
        die_errno("cannot start the stall thread");
}

void stall_hold(void) {
    pthread_mutex_lock(&stall.rewriting);
    atomic_store(&stall.held, true);
}

void stall_release(void) {
    atomic_store(&stall.held, false);
    pthread_mutex_unlock(&stall.rewriting);
}

uint64_t stall_longest_microseconds(void) { return (uint64_t)atomic_load(&stall.longest) / 1000; }

void stall_reset(void) { atomic_store(&stall.longest, 0); }

uint64_t stall_writes(void) { return atomic_load(&stall.writes); }
