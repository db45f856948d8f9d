// A process whose memory changes in ways that nothing but the kernel's own books tell of: no page is written.
//
//   shift-target --hide PAGES --status FILE     pages that nobody may read, until it is told, and so in turns
//   shift-target --move PAGES --status FILE     two areas that change places when it is told, in whole page tables
//
// Status lines, and signals: "ready pid=N"; SIGUSR1: "check ok ..." or "check FAILED ..." after looking at all pages;
// SIGUSR2: "changed N", the Nth change. Meanwhile it writes one page over and over.
#define _GNU_SOURCE
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "../../Programs/memory-target/check.h"
#include "../../Programs/memory-target/mapping.h"
#include "../../Programs/memory-target/status.h"

static const long TICK_NANOSECONDS = 2 * 1000 * 1000;
// Memory that a whole page table maps, on x86-64.
static const size_t TABLE_SIZE = 2 * 1024 * 1024;

static size_t area_size;
static uint64_t pages;   // of an area
static bool hides;       // else it moves
static void *areas[2];   // --hide has one
static void *between;    // as large, where nothing is but while areas change places
static uint64_t changes;
static struct { uint64_t count; } *ticks; // in a page of its own

static struct pattern pattern_of(size_t area, uint64_t page) {
    return (struct pattern){REGION_MAIN, area * pages + page, 1, true};
}

static void *map_area(const char *what) {
    void *area = map_guarded(area_size, TABLE_SIZE, 0, what);
    // Huge pages move otherwise.
    advise(area, area_size, MADV_NOHUGEPAGE);
    return area;
}

static void populate(void) {
    for (size_t area = 0; area < (hides ? 1 : 2); area++) {
        areas[area] = map_area("an area");
        for (uint64_t page = 0; page < pages; page++)
            pattern_fill(page_at(areas[area], page), page_size() / sizeof(uint64_t), pattern_of(area, page));
    }
    if (hides)
        set_protection(areas[0], area_size, PROT_NONE, "the area");
    else
        between = map_area("the place between");
    ticks = map_guarded(page_size(), page_size(), 0, "the counter");
}

static void move(void *from, void *to) {
    if (mremap(from, area_size, area_size, MREMAP_MAYMOVE | MREMAP_FIXED, to) != to)
        die_errno("mremap");
}

static void change(void) {
    changes++;
    if (hides) {
        set_protection(areas[0], area_size, changes % 2 ? PROT_READ : PROT_NONE, "the area");
    } else {
        move(areas[0], between);
        move(areas[1], areas[0]);
        move(between, areas[1]);
        if (mmap(between, area_size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != between)
            die_errno("mmap");
    }
    status_line("changed %" PRIu64, changes);
}

static void report_check(void) {
    struct check check = {0};
    bool hidden = hides && changes % 2 == 0;
    if (hidden)
        set_protection(areas[0], area_size, PROT_READ, "the area");
    for (size_t area = 0; area < (hides ? 1 : 2); area++) {
        // After an odd number of changes each has what the other had.
        size_t holds = hides || changes % 2 == 0 ? area : 1 - area;
        for (uint64_t page = 0; page < pages; page++)
            check_block(&check, page_at(areas[area], page), page_size(), pattern_of(holds, page));
    }
    if (hidden)
        set_protection(areas[0], area_size, PROT_NONE, "the area");
    if (check.bad > 0)
        status_line("check FAILED %s; bad=%" PRIu64 " of pages=%" PRIu64, check.first, check.bad, check.pages);
    else
        status_line("check ok pages=%" PRIu64 " writes=%" PRIu64, check.pages, ticks->count);
}

int main(int count, char **arguments) {
    const char *status = NULL;
    for (int at = 1; at + 1 < count; at += 2) {
        if (!strcmp(arguments[at], "--hide") || !strcmp(arguments[at], "--move")) {
            hides = !strcmp(arguments[at], "--hide");
            pages = strtoull(arguments[at + 1], NULL, 10);
        } else if (!strcmp(arguments[at], "--status")) {
            status = arguments[at + 1];
        }
    }
    area_size = pages * page_size();
    if (!status || pages == 0 || (!hides && area_size % TABLE_SIZE != 0)) {
        fprintf(stderr, "usage: shift-target --hide PAGES | --move PAGES --status FILE; moving takes whole page tables\n");
        return 2;
    }
    status_open(status);
    sigset_t commands;
    sigemptyset(&commands);
    sigaddset(&commands, SIGUSR1);
    sigaddset(&commands, SIGUSR2);
    if (sigprocmask(SIG_BLOCK, &commands, NULL) != 0)
        die_errno("sigprocmask");
    populate();
    status_line("ready pid=%d", (int)getpid());
    for (;;) {
        const struct timespec tick = {.tv_nsec = TICK_NANOSECONDS};
        ticks->count++;
        switch (sigtimedwait(&commands, NULL, &tick)) {
        case SIGUSR1: report_check(); break;
        case SIGUSR2: change(); break;
        }
    }
}
