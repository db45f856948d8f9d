// A process whose memory changes, and the kernel's soft-dirty bits do not tell.
//
//   hidden-target --merge PAGES --status FILE     rewrites pages that are alike, and has them merged (KSM)
//   hidden-target --merge-zeros PAGES ...         the same, with every other change to zeros (use_zero_pages)
//   hidden-target --clear PAGES ...               goes by the soft-dirty bits itself, and clears them all the while
//   hidden-target --probe PAGES ...               has a page of its code replaced, by setting and removing probes
//
// Its memory changes when it is told, and with --restless yes all by itself until it is told for the first time. A change
// begins the merging; a probe is set from the start, and the first change that it is told of removes it for good.
//
// Status lines, and signals: "ready pid=N"; SIGUSR1: "check ok ..." or "check FAILED ..." after looking at everything;
// SIGUSR2: "changed N", the Nth change, once the bits have lost it. Meanwhile it writes one page over and over.
#define _GNU_SOURCE
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <time.h>
#include <unistd.h>

#include "../../Programs/memory-target/check.h"
#include "../../Programs/memory-target/mapping.h"
#include "../../Programs/memory-target/status.h"

static const uint64_t RESTLESS_TICKS = 16;
static const long TICK_NANOSECONDS = 2 * 1000 * 1000;
static const uint64_t SOFT_DIRTY = UINT64_C(1) << 55;
// Of all pages that are alike, so many kinds: one page is merged with at most 256 others by default.
static const uint64_t KINDS = 16;

static enum { MERGES, CLEARS, IS_PROBED } kind;
static bool zeros;
static uint64_t pages;
static void *area;
static uint64_t changes;
static bool restless;
static struct { uint64_t count; } *ticks; // in a page of its own

static void write_text(const char *path, const char *text, bool appends) {
    int file = open(path, O_WRONLY | (appends ? O_APPEND : 0));
    if (file < 0)
        die_errno("opening %s", path);
    if (write(file, text, strlen(text)) < 0)
        die_errno("writing '%s' to %s", text, path);
    close(file);
}

// --- merging

static struct pattern pattern_of(uint64_t page) {
    uint64_t index = kind == MERGES ? page % KINDS : page;
    return (struct pattern){REGION_MAIN, index, kind == IS_PROBED ? 1 : changes + 1, true};
}

static bool is_zero(void) { return zeros && changes % 2 == 1; }

static void fill(void) {
    for (uint64_t page = 0; page < pages; page++) {
        if (is_zero())
            memset(page_at(area, page), 0, page_size());
        else
            pattern_fill(page_at(area, page), page_size() / sizeof(uint64_t), pattern_of(page));
    }
}

static uint64_t merged(void) {
    static const char *const NAMES[] = {"ksm_merging_pages ", "ksm_zero_pages "};
    char text[512] = "";
    FILE *file = fopen("/proc/self/ksm_stat", "r");
    if (!file)
        die_errno("opening ksm_stat");
    uint64_t sum = 0;
    while (fgets(text, sizeof text, file))
        for (size_t at = 0; at < sizeof NAMES / sizeof *NAMES; at++)
            if (!strncmp(text, NAMES[at], strlen(NAMES[at])))
                sum += strtoull(text + strlen(NAMES[at]), NULL, 10);
    fclose(file);
    return sum;
}

static void wait_until_merged(void) {
    while (merged() < pages)
        usleep(20 * 1000);
}

static void begin_merging(void) {
    static bool has_begun;
    if (has_begun)
        return;
    has_begun = true;
    write_text("/sys/kernel/mm/ksm/use_zero_pages", zeros ? "1" : "0", false);
    write_text("/sys/kernel/mm/ksm/pages_to_scan", "20000", false);
    write_text("/sys/kernel/mm/ksm/sleep_millisecs", "5", false);
    write_text("/sys/kernel/mm/ksm/run", "1", false);
    if (madvise(area, pages * page_size(), MADV_MERGEABLE) != 0)
        die_errno("madvise(MADV_MERGEABLE)");
}

// --- clearing

static int clear_refs = -1, pagemap = -1;
static uint64_t hidden; // writes that the bits did not tell of

static bool is_soft_dirty(const void *address) {
    uint64_t entry;
    if (pread(pagemap, &entry, sizeof entry, (off_t)((uintptr_t)address / page_size() * sizeof entry)) != sizeof entry)
        die_errno("reading pagemap");
    return entry & SOFT_DIRTY;
}

static void clear_bits(void) {
    if (write(clear_refs, "4", 1) != 1)
        die_errno("clearing the soft-dirty bits");
}

// Writes a page between clearing the bits and looking at them.
static void clear_write_and_look(void) {
    static uint64_t state = 1;
    state = xorshift(state);
    void *page = page_at(area, state % pages);
    clear_bits();
    pattern_fill(page, page_size() / sizeof(uint64_t), pattern_of(state % pages));
    usleep(300);
    if (!is_soft_dirty(page))
        hidden++;
}

// --- probes


static volatile int probed_calls;

__attribute__((noinline, used, aligned(4096))) static int probed_one(int value) {
    __asm__ volatile("nop; nop; nop; nop; nop; nop" ::: "memory");
    return value + 1;
}

static void on_trap(int signal) {
    (void)signal;
    // There is a breakpoint in the code, and no probe.
    status_line("check FAILED SIGTRAP");
    _exit(1);
}

static void call_probed(void) { probed_calls = probed_one(probed_calls); }

// Where a function is in the file of the program.
static uint64_t file_offset(const void *address) {
    FILE *maps = fopen("/proc/self/maps", "r");
    if (!maps)
        die_errno("opening maps");
    char line[512];
    uint64_t start, end, offset, found = 0;
    while (fgets(line, sizeof line, maps))
        if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %*s %" SCNx64, &start, &end, &offset) == 3 &&
            (uintptr_t)address >= start && (uintptr_t)address < end)
            found = (uintptr_t)address - start + offset;
    fclose(maps);
    return found;
}

static const char *const TRACING = "/sys/kernel/tracing";

static bool is_probed;

static void set_probe(bool is_set) {
    char events[128], enable[128], text[256];
    snprintf(events, sizeof events, "%s/uprobe_events", TRACING);
    snprintf(enable, sizeof enable, "%s/events/hidden/one/enable", TRACING);
    if (is_set) {
        snprintf(text, sizeof text, "p:hidden/one /usr/bin/hidden-target:0x%" PRIx64 "\n", file_offset((const void *)probed_one));
        write_text(events, text, true);
    }
    write_text(enable, is_set ? "1" : "0", false);
    if (!is_set)
        write_text(events, "-:hidden/one\n", true);
    is_probed = is_set;
}

static void begin_probing(void) {
    signal(SIGTRAP, on_trap);
    if (mount("tracefs", TRACING, "tracefs", 0, NULL) != 0)
        die_errno("mounting tracefs");
    // The page is the process' own from now on, whatever probes there are.
    void *text = (void *)((uintptr_t)probed_one / page_size() * page_size());
    if (mprotect(text, page_size(), PROT_READ | PROT_WRITE | PROT_EXEC) != 0)
        die_errno("mprotect");
    *(volatile unsigned char *)((uintptr_t)text + page_size() - 1) = 0xcc;
    if (mprotect(text, page_size(), PROT_READ | PROT_EXEC) != 0)
        die_errno("mprotect");
    set_probe(true);
}

// ---

static void change(void) {
    changes++;
    switch (kind) {
    case MERGES:
        begin_merging();
        fill();
        wait_until_merged();
        break;
    case CLEARS:
        fill();
        clear_bits();
        break;
    case IS_PROBED:
        if (restless || is_probed)
            set_probe(!is_probed);
        break;
    }
}

static void obey(void) {
    restless = false;
    change();
    status_line("changed %" PRIu64, changes);
}

static void begin(void) {
    area = map_guarded(pages * page_size(), page_size(), 0, "the area");
    advise(area, pages * page_size(), MADV_NOHUGEPAGE);
    ticks = map_guarded(page_size(), page_size(), 0, "the counter");
    fill();
    switch (kind) {
    case MERGES: break;
    case CLEARS:
        clear_refs = open("/proc/self/clear_refs", O_WRONLY);
        pagemap = open("/proc/self/pagemap", O_RDONLY);
        if (clear_refs < 0 || pagemap < 0)
            die_errno("opening clear_refs and pagemap");
        break;
    case IS_PROBED: begin_probing(); break;
    }
}

static void report_check(void) {
    struct check check = {0};
    for (uint64_t page = 0; page < pages; page++) {
        if (is_zero())
            check_zero(&check, page_at(area, page), page_size(), region_name(REGION_MAIN), page);
        else
            check_block(&check, page_at(area, page), page_size(), pattern_of(page));
    }
    if (check.bad > 0)
        status_line("check FAILED %s; bad=%" PRIu64 " of pages=%" PRIu64, check.first, check.bad, check.pages);
    else if (hidden > 0)
        status_line("check FAILED the soft-dirty bits hid %" PRIu64 " writes", hidden);
    else
        status_line("check ok pages=%" PRIu64 " writes=%" PRIu64, check.pages, ticks->count);
}

int main(int count, char **arguments) {
    static const struct { const char *name; int kind; } KINDS_OF[] = {
        {"--merge", MERGES}, {"--merge-zeros", MERGES}, {"--clear", CLEARS}, {"--probe", IS_PROBED}};
    const char *status = NULL;
    for (int at = 1; at + 1 < count; at += 2) {
        if (!strcmp(arguments[at], "--status"))
            status = arguments[at + 1];
        if (!strcmp(arguments[at], "--restless"))
            restless = true;
        for (size_t known = 0; known < sizeof KINDS_OF / sizeof *KINDS_OF; known++)
            if (!strcmp(arguments[at], KINDS_OF[known].name)) {
                kind = KINDS_OF[known].kind;
                zeros = !strcmp(arguments[at], "--merge-zeros");
                pages = strtoull(arguments[at + 1], NULL, 10);
            }
    }
    if (!status || pages == 0) {
        fprintf(stderr, "usage: hidden-target --merge PAGES | --merge-zeros PAGES | --clear PAGES | --probe PAGES [--restless yes] --status FILE\n");
        return 2;
    }
    status_open(status);
    sigset_t commands;
    sigemptyset(&commands);
    sigaddset(&commands, SIGUSR1);
    sigaddset(&commands, SIGUSR2);
    if (sigprocmask(SIG_BLOCK, &commands, NULL) != 0)
        die_errno("sigprocmask");
    begin();
    status_line("ready pid=%d", (int)getpid());
    for (;;) {
        const struct timespec tick = {.tv_nsec = TICK_NANOSECONDS};
        ticks->count++;
        if (kind == CLEARS)
            clear_write_and_look();
        if (kind == IS_PROBED)
            call_probed();
        switch (sigtimedwait(&commands, NULL, &tick)) {
        case SIGUSR1: report_check(); break;
        case SIGUSR2: obey(); break;
        default:
            if (restless && ticks->count % RESTLESS_TICKS == 0)
                change();
        }
    }
}
