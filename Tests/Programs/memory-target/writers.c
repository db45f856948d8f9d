#define _GNU_SOURCE
#include "writers.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "clock.h"
#include "status.h"

static const int64_t TICK_NANOSECONDS = 2 * 1000 * 1000;
// After a stop (SIGSTOP, a dump and restore) a writer does not catch up for more than this.
static const int64_t LONGEST_CATCH_UP_NANOSECONDS = 100 * 1000 * 1000;

struct writer {
    _Alignas(64) _Atomic uint64_t writes;
    struct area *area;
    uint64_t first_page, step, pages;
    double pages_per_second;
    uint64_t random;
};

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    atomic_bool closed;
    unsigned parked;
} gate = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static struct writer writers[MAX_WRITERS];
static unsigned writer_count;

static void pass_gate(void) {
    if (!atomic_load_explicit(&gate.closed, memory_order_acquire))
        return;
    pthread_mutex_lock(&gate.lock);
    gate.parked++;
    pthread_cond_broadcast(&gate.changed);
    while (atomic_load(&gate.closed))
        pthread_cond_wait(&gate.changed, &gate.lock);
    gate.parked--;
    pthread_mutex_unlock(&gate.lock);
}

void writers_pause(void) {
    pthread_mutex_lock(&gate.lock);
    atomic_store(&gate.closed, true);
    while (gate.parked < writer_count)
        pthread_cond_wait(&gate.changed, &gate.lock);
    pthread_mutex_unlock(&gate.lock);
}

void writers_resume(void) {
    pthread_mutex_lock(&gate.lock);
    atomic_store(&gate.closed, false);
    pthread_cond_broadcast(&gate.changed);
    pthread_mutex_unlock(&gate.lock);
}

uint64_t writers_total(void) {
    uint64_t total = 0;
    for (unsigned at = 0; at < writer_count; at++)
        total += atomic_load_explicit(&writers[at].writes, memory_order_relaxed);
    return total;
}

static void rewrite_random_page(struct writer *writer) {
    writer->random = xorshift(writer->random);
    uint64_t chosen = (writer->random >> 11) % writer->pages;
    area_rewrite(writer->area, writer->first_page + chosen * writer->step);
    atomic_fetch_add_explicit(&writer->writes, 1, memory_order_relaxed);
}

static void write_without_pause(struct writer *writer) {
    for (;;) {
        pass_gate();
        rewrite_random_page(writer);
    }
}

// How much of the time since `last` counts: the clock may jump either way across a restore.
static int64_t credited_time(int64_t last, int64_t now) {
    if (now < last)
        return 0;
    return now - last < LONGEST_CATCH_UP_NANOSECONDS ? now - last : LONGEST_CATCH_UP_NANOSECONDS;
}

static void write_at_rate(struct writer *writer) {
    double due = 0;
    int64_t last = monotonic_nanoseconds();
    for (;;) {
        sleep_nanoseconds(TICK_NANOSECONDS);
        int64_t now = monotonic_nanoseconds();
        due += writer->pages_per_second * (double)credited_time(last, now) / 1e9;
        last = now;
        pass_gate();
        for (; due >= 1; due -= 1) {
            rewrite_random_page(writer);
            pass_gate();
        }
    }
}

static void *writer_main(void *argument) {
    struct writer *writer = argument;
    if (writer->pages_per_second == UNLIMITED_RATE)
        write_without_pause(writer);
    else
        write_at_rate(writer);
    return NULL;
}

void writers_start(struct area *area, uint64_t page_limit, unsigned count, double pages_per_second) {
    if (pages_per_second == 0)
        return;
    // A writer without a page of its own would have nothing to do.
    if (count > page_limit)
        count = (unsigned)page_limit;
    for (unsigned at = 0; at < count; at++) {
        struct writer *writer = &writers[at];
        writer->area = area;
        writer->first_page = at;
        writer->step = count;
        writer->pages = (page_limit - at + count - 1) / count;
        writer->pages_per_second = pages_per_second == UNLIMITED_RATE ? UNLIMITED_RATE : pages_per_second / count;
        writer->random = 0x9e3779b97f4a7c15 + at * 1000003;
        pthread_t thread;
        if ((errno = pthread_create(&thread, NULL, writer_main, writer)) != 0)
            die_errno("cannot start writer %u", at);
        writer_count++;
    }
}
