// memory-target: a real process whose memory is checked by itself, for tests of programs that copy memory.
//
// Every page of its main area says where it belongs and how often it was rewritten, and a ledger elsewhere in memory says how often it
// should have been; so a page that was lost, torn, misplaced or put back to an older state is found by the process itself (SIGUSR1).
// It uses only what CRIU can dump and restore: threads, mutexes, mappings, files that are opened by path and closed again.
//
// Exit codes: 0 ended by SIGTERM or --seconds; 1 a system call failed; 2 wrong usage.
#define _GNU_SOURCE
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "churn.h"
#include "remap.h"
#include "clock.h"
#include "mapping.h"
#include "odd.h"
#include "options.h"
#include "sleepers.h"
#include "stall.h"
#include "status.h"
#include "writers.h"

struct target {
    struct options options;
    struct area area;
    struct many_vmas vmas;
    struct sparse sparse;
    struct churn churn;
    const uint64_t *deep_stack; // NULL without --odd
    char **arguments;
    uint64_t writes_at_reset;
};

static void exit_on_sigterm(int signal) {
    (void)signal;
    _exit(0);
}

static void block_command_signals(sigset_t *commands) {
    sigemptyset(commands);
    sigaddset(commands, SIGUSR1);
    sigaddset(commands, SIGUSR2);
    sigaddset(commands, SIGHUP);
    // Before the first thread starts, so that all inherit it and only sigtimedwait takes them.
    if (sigprocmask(SIG_BLOCK, commands, NULL) != 0)
        die_errno("sigprocmask");
    struct sigaction action = {.sa_handler = exit_on_sigterm};
    if (sigaction(SIGTERM, &action, NULL) != 0)
        die_errno("sigaction");
}

static void populate(struct target *target) {
    const struct options *options = &target->options;
    target->area = (struct area){.size = options->size,
                                 .backing = options->backing,
                                 .layout = options->layout,
                                 .huge_pages = options->huge_pages,
                                 .random = options->random};
    target->vmas = (struct many_vmas){.count = options->vmas, .random = options->random};
    target->sparse = (struct sparse){.size = options->sparse_size, .count = options->sparse_pages, .random = options->random};
    area_map(&target->area);
    many_vmas_map(&target->vmas);
    sparse_map(&target->sparse);
    target->churn.threads = options->churners;
    churn_map(&target->churn);
    if (options->odd)
        odd_map(options->odd_path);
}

// The last page belongs to the stall thread, all others to the writers.
static void start_threads(struct target *target) {
    uint64_t stall_page = target->area.count > 0 ? target->area.count - 1 : 0;
    writers_start(&target->area, stall_page, target->options.writers, target->options.pages_per_second);
    stall_start(&target->area, stall_page);
    churn_start(&target->churn);
    if (target->options.remap)
        remap_start();
    sleepers_start(target->options.sleepers);
}

static void tell_ready(const struct target *target) {
    if (target->churn.threads == 0) {
        status_line("ready pid=%d", (int)getpid());
        return;
    }
    status_line("ready pid=%d churn=%p-%p vmas=%p-%p", (int)getpid(), target->churn.base, target->churn.end, target->vmas.base,
                page_at(target->vmas.base, target->vmas.count));
}

static void hold_still(void) {
    stall_hold();
    writers_pause();
    remap_hold();
}

static void go_on(void) {
    remap_release();
    writers_resume();
    stall_release();
}

static uint64_t total_writes(void) { return writers_total() + stall_writes(); }

static void report_check(struct target *target) {
    struct check check = {0};
    hold_still();
    uint64_t stall = stall_longest_microseconds();
    uint64_t writes = total_writes();
    uint64_t generation = area_check(&target->area, writes, &check);
    many_vmas_check(&target->vmas, &check);
    sparse_check(&target->sparse, &check);
    remap_check(&check);
    if (target->options.odd) {
        odd_check(&check);
        odd_stack_check(target->deep_stack, &check);
    }
    uint64_t remaps = remap_operations();
    go_on();
    char remapped[64] = "";
    if (target->options.remap)
        snprintf(remapped, sizeof remapped, " remaps=%" PRIu64, remaps);
    if (check.bad > 0)
        status_line("check FAILED %s; bad=%" PRIu64 " of pages=%" PRIu64, check.first, check.bad, check.pages);
    else
        status_line("check ok pages=%" PRIu64 " generation=%" PRIu64 " writes=%" PRIu64 " longest_stall_us=%" PRIu64 "%s",
                    check.pages, generation, writes - target->writes_at_reset, stall, remapped);
}

static void reset(struct target *target) {
    hold_still();
    target->writes_at_reset = total_writes();
    stall_reset();
    go_on();
    status_line("reset");
}

// The other threads end with it, and so does all memory.
static void execute_anew(struct target *target) {
    execv("/proc/self/exe", target->arguments);
    die_errno("executing /proc/self/exe");
}

// Counts down in steps of a second, of which none counts for more: the clock may jump across a stop or a restore.
static void serve(struct target *target, const sigset_t *commands) {
    static const int64_t SECOND = 1000000000;
    int64_t left = (int64_t)target->options.seconds * SECOND;
    while (left > 0) {
        struct timespec step = {.tv_sec = 1};
        int64_t before = monotonic_nanoseconds();
        int signal = sigtimedwait(commands, NULL, &step);
        int64_t passed = monotonic_nanoseconds() - before;
        if (signal == SIGUSR1)
            report_check(target);
        else if (signal == SIGUSR2)
            reset(target);
        else if (signal == SIGHUP)
            execute_anew(target);
        left -= passed < 0 ? 0 : passed > SECOND ? SECOND : passed;
    }
}

static void run(struct target *target, const sigset_t *commands) {
    start_threads(target);
    tell_ready(target);
    serve(target, commands);
}

// The block must stay alive to stay checkable; so the rest of the program runs below it in the stack.
static __attribute__((noinline)) void run_with_deep_stack(struct target *target, const sigset_t *commands) {
    uint64_t block[ODD_STACK_WORDS];
    odd_stack_fill(block);
    target->deep_stack = block;
    run(target, commands);
    target->deep_stack = NULL;
}

int main(int count, char **arguments) {
    static struct target target;
    sigset_t commands;
    target.options = options_parse(count, arguments);
    target.arguments = arguments;
    status_open(target.options.status_path);
    block_command_signals(&commands);
    populate(&target);
    if (target.options.odd)
        run_with_deep_stack(&target, &commands);
    else
        run(&target, &commands);
    // The other threads still run: leave without taking their memory from under them.
    _exit(0);
}
