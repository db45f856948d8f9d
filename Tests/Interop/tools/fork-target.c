// A process that forks: it and its children share the pages that neither has written since. Each rewrites pages of its
// own share, and checks all of them; so a page that one got from another is found.
//
//   fork-target --pages N --children N [--shared N] [--zombies N] [--stopped 1] --status FILE
//
// With --shared there are so many pages more, which all of them share for good: each rewrites those of its own share, and
// checks these alone, as others may be in the middle of a rewrite.
// The first child has a child in its turn. With --stopped it is stopped (SIGSTOP), and its child goes on. Zombies are
// further children, which have ended with status 7 and are not waited for. Status lines, and signals: "ready pid=N" when all are there; SIGUSR1 to any
// of them: "check ok ..." or "check FAILED ..."; SIGUSR2 to the first: one of its children ends and another is born,
// "replaced old=N new=N", every other time with the same pid.
#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../../Programs/memory-target/area.h"
#include "../../Programs/memory-target/mapping.h"
#include "../../Programs/memory-target/status.h"

enum { MOST_CHILDREN = 64 };
static const long TICK_NANOSECONDS = 10 * 1000 * 1000;

static struct area area = {.layout = LAYOUT_DENSE, .huge_pages = HUGE_PAGES_NO};
static uint64_t writes; // since the first process made the area, by this one and those that it comes from
static unsigned share;  // pages whose number modulo shares is this are rewritten by this process
static unsigned shares;
static sigset_t commands;

// What is shared for good. This process knows the generations of its own share.
static struct {
    void *base;
    uint64_t count, *generations;
} common;

static struct {
    pid_t pids[MOST_CHILDREN];
    unsigned count, replaced;
} children;

static uint64_t number(const char *text, uint64_t most) {
    char *end;
    errno = 0;
    uint64_t value = strtoull(text, &end, 10);
    if (errno || end == text || *end || value == 0 || value > most) {
        fprintf(stderr, "fork-target: %s is not a number from 1 to %" PRIu64 "\n", text, most);
        exit(2);
    }
    return value;
}

static struct pattern pattern_of_common(uint64_t index) {
    return (struct pattern){.region = REGION_SHARED, .index = index, .generation = common.generations[index], .random = true};
}

static void write_common(uint64_t index) {
    common.generations[index]++;
    pattern_fill(page_at(common.base, index), page_size() / sizeof(uint64_t), pattern_of_common(index));
}

// Whoever had this share before may have ended in the middle of a rewrite.
static void take_over_common(void) {
    for (uint64_t index = share; index < common.count; index += shares) write_common(index);
}

static void map_common(void) {
    if (common.count == 0)
        return;
    common.base = mmap(NULL, common.count * page_size(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    common.generations = calloc(common.count, sizeof *common.generations);
    if (common.base == MAP_FAILED || !common.generations)
        die_errno("memory for %" PRIu64 " shared pages", common.count);
}

static void report_check(void) {
    struct check check = {0};
    uint64_t generation = area_check(&area, writes, &check);
    for (uint64_t index = share; index < common.count; index += shares)
        check_block(&check, page_at(common.base, index), page_size(), pattern_of_common(index));
    if (check.bad > 0)
        status_line("check FAILED %s; bad=%" PRIu64 " of pages=%" PRIu64, check.first, check.bad, check.pages);
    else
        status_line("check ok pages=%" PRIu64 " generation=%" PRIu64 " writes=%" PRIu64, check.pages, generation, writes);
}

// With `wanted` the child gets that pid, which must be free; with 0 any.
static pid_t fork_as(pid_t wanted) {
    struct clone_args arguments = {.exit_signal = SIGCHLD};
    if (wanted) {
        arguments.set_tid = (uintptr_t)&wanted;
        arguments.set_tid_size = 1;
    }
    // Not fork, which takes no pid. The only thread calls this, so there is nothing that fork would have to prepare.
    pid_t pid = (pid_t)syscall(SYS_clone3, &arguments, sizeof arguments);
    if (pid < 0)
        die_errno("clone3 for pid %d", (int)wanted);
    return pid;
}

static _Noreturn void serve(void);

static void make_zombie(void) {
    pid_t pid = fork_as(0);
    if (pid == 0)
        _exit(7);
    siginfo_t end;
    if (waitid(P_PID, (id_t)pid, &end, WEXITED | WNOWAIT) != 0)
        die_errno("waiting for the end of child %d", (int)pid);
}

static void stop_first_child(void) {
    int state;
    if (kill(children.pids[0], SIGSTOP) != 0 || waitpid(children.pids[0], &state, WUNTRACED) != children.pids[0])
        die_errno("stopping child %d", (int)children.pids[0]);
}

static _Noreturn void be_child(unsigned number) {
    children.count = 0;
    share = number;
    serve();
}

static void replace_child(void) {
    // The first one has a child of its own.
    unsigned at = 1 + children.replaced % (children.count - 1);
    pid_t old = children.pids[at];
    if (kill(old, SIGKILL) != 0 || waitpid(old, NULL, 0) != old)
        die_errno("ending child %d", (int)old);
    pid_t pid = fork_as(children.replaced++ % 2 == 0 ? old : 0);
    if (pid == 0)
        be_child(1 + at);
    children.pids[at] = pid;
    status_line("replaced old=%d new=%d", (int)old, (int)pid);
}

static _Noreturn void serve(void) {
    const struct timespec tick = {.tv_nsec = TICK_NANOSECONDS};
    uint64_t random = 0x9e3779b97f4a7c15 + share * UINT64_C(1000003);
    take_over_common();
    for (;;) {
        random = xorshift(random);
        area_rewrite(&area, share + (random >> 11) % (area.count / shares) * shares);
        if (common.count > 0)
            write_common(share + (random >> 11) % (common.count / shares) * shares);
        writes++;
        int signal = sigtimedwait(&commands, NULL, &tick);
        if (signal == SIGUSR1)
            report_check();
        else if (signal == SIGUSR2 && children.count > 1)
            replace_child();
    }
}

// The first child tells when its own child is there.
static void fork_first_child(void) {
    int ends[2];
    char byte = 0;
    if (pipe(ends) != 0)
        die_errno("pipe");
    pid_t pid = fork_as(0);
    if (pid == 0) {
        close(ends[0]);
        if (fork_as(0) == 0) {
            close(ends[1]);
            be_child(children.count + 1);
        }
        if (write(ends[1], &byte, 1) != 1)
            die_errno("write to a pipe");
        close(ends[1]);
        be_child(1);
    }
    close(ends[1]);
    if (read(ends[0], &byte, 1) != 1)
        die_errno("the first child");
    close(ends[0]);
    children.pids[0] = pid;
}

int main(int count, char **arguments) {
    const char *status = NULL;
    unsigned zombies = 0;
    bool stops = false;
    for (int at = 1; at + 1 < count; at += 2) {
        if (!strcmp(arguments[at], "--pages"))
            area.size = number(arguments[at + 1], 1 << 20) * page_size();
        else if (!strcmp(arguments[at], "--children"))
            children.count = (unsigned)number(arguments[at + 1], MOST_CHILDREN);
        else if (!strcmp(arguments[at], "--shared"))
            common.count = number(arguments[at + 1], 1 << 20);
        else if (!strcmp(arguments[at], "--zombies"))
            zombies = (unsigned)number(arguments[at + 1], MOST_CHILDREN);
        else if (!strcmp(arguments[at], "--stopped"))
            stops = number(arguments[at + 1], 1) == 1;
        else if (!strcmp(arguments[at], "--status"))
            status = arguments[at + 1];
    }
    // The first process, its children, and the first child's.
    shares = children.count + 2;
    if (!status || children.count < 2 || area.size / page_size() < shares || (common.count > 0 && common.count < shares)) {
        fprintf(stderr, "usage: fork-target --pages N --children N [--shared N] [--zombies N] [--stopped 1] --status FILE\n");
        return 2;
    }
    status_open(status);
    sigemptyset(&commands);
    sigaddset(&commands, SIGUSR1);
    sigaddset(&commands, SIGUSR2);
    if (sigprocmask(SIG_BLOCK, &commands, NULL) != 0)
        die_errno("sigprocmask");
    area_map(&area);
    map_common();
    fork_first_child();
    for (unsigned at = 1; at < children.count; at++) {
        children.pids[at] = fork_as(0);
        if (children.pids[at] == 0)
            be_child(1 + at);
    }
    while (zombies-- > 0) make_zombie();
    if (stops)
        stop_first_child();
    status_line("ready pid=%d", (int)getpid());
    serve();
}
