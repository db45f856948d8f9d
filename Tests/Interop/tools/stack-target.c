// A process whose stack grows and shrinks: each call has a block on the stack that says where it belongs, and checks it
// before it returns, when the block may have been written to images and read back since.
//
//   stack-target --depth N --status FILE
//
// Goes N calls deep, a few milliseconds each, and returns a random part of the way, over and over. Status lines, and
// signals: "ready pid=N" before the first call; SIGUSR1: "check ok ..." or "check FAILED ..." after looking at all blocks
// that are on the stack.
#define _GNU_SOURCE
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../../Programs/memory-target/check.h"
#include "../../Programs/memory-target/status.h"

// About a page, so that each call touches a page of its own.
enum { BLOCK_WORDS = 480 };
static const long TICK_NANOSECONDS = 2 * 1000 * 1000;

struct block {
    uint64_t words[BLOCK_WORDS];
    struct pattern pattern;
    const struct block *above; // the caller's
};

static struct check damage; // found by those that returned
static uint64_t blocks;     // that were filled
static uint64_t steps;      // down and up: on a long way up no block is filled
static uint64_t random_state = 0x9e3779b97f4a7c15;
static uint64_t deepest;
static uint64_t goal; // the depth at which the way down, or up, ends
static sigset_t commands;

static void report_check(const struct block *block) {
    struct check check = damage;
    check.pages = 0;
    for (; block; block = block->above)
        check_block(&check, block->words, sizeof block->words, block->pattern);
    if (check.bad > 0)
        status_line("check FAILED %s; bad=%" PRIu64 " of blocks=%" PRIu64, check.first, check.bad, check.pages);
    else
        status_line("check ok blocks=%" PRIu64 " writes=%" PRIu64, check.pages, steps);
}

// Returns when the goal is above.
static __attribute__((noinline)) void descend(uint64_t depth, const struct block *above) {
    const struct timespec tick = {.tv_nsec = TICK_NANOSECONDS};
    struct block block = {.pattern = {REGION_STACK, depth, ++blocks, true}, .above = above};
    pattern_fill(block.words, BLOCK_WORDS, block.pattern);
    for (;;) {
        steps++;
        if (sigtimedwait(&commands, NULL, &tick) == SIGUSR1)
            report_check(&block);
        if (depth == deepest) {
            random_state = xorshift(random_state);
            goal = random_state % deepest;
        } else if (goal == depth) {
            goal = deepest;
        }
        if (goal < depth)
            break;
        descend(depth + 1, &block);
    }
    check_block(&damage, block.words, sizeof block.words, block.pattern);
}

int main(int count, char **arguments) {
    const char *status = NULL;
    for (int at = 1; at + 1 < count; at += 2) {
        if (!strcmp(arguments[at], "--depth"))
            deepest = strtoull(arguments[at + 1], NULL, 10);
        else if (!strcmp(arguments[at], "--status"))
            status = arguments[at + 1];
    }
    // The stack's limit is 8 MiB.
    if (!status || deepest < 2 || deepest > 1500) {
        fprintf(stderr, "usage: stack-target --depth 2..1500 --status FILE\n");
        return 2;
    }
    status_open(status);
    sigemptyset(&commands);
    sigaddset(&commands, SIGUSR1);
    if (sigprocmask(SIG_BLOCK, &commands, NULL) != 0)
        die_errno("sigprocmask");
    status_line("ready pid=%d", (int)getpid());
    goal = deepest;
    // Nothing is above the first call: it never returns.
    descend(0, NULL);
    return 1;
}
