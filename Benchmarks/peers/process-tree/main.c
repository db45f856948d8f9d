// process-tree: a process with children, all alike and asleep, to see what each process costs who copies them all.
//
// Each child writes as many pages of its own as it is told, with other contents than its siblings', and sleeps; where there
// is none, the process itself does. Once all have done so, "ready" is printed. The children end with the first process.
//
// Exit codes: 1 a system call failed; 2 wrong usage. It ends by a signal.
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "../bare-read/die.h"

enum { MOST_CHILDREN = 100000, MOST_PAGES = 1 << 20 };

static long number(const char *text, long most) {
    char *end;
    long value = strtol(text, &end, 10);
    if (*text == 0 || *end != 0 || value < 0 || value > most) {
        fprintf(stderr, "process-tree: \"%s\" is not a number from 0 to %ld\n", text, most);
        exit(2);
    }
    return value;
}

static void fill(uint64_t seed, size_t pages) {
    size_t size = (size_t)sysconf(_SC_PAGESIZE), bytes = pages * size;
    if (bytes == 0)
        return;
    uint64_t *words = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (words == MAP_FAILED)
        die("no memory");
    madvise(words, bytes, MADV_NOHUGEPAGE);
    // Numbers that look random (Knuth's), and are never all zeros.
    for (size_t at = 0; at < bytes / sizeof *words; at++)
        words[at] = seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
}

int main(int count, char **arguments) {
    if (count != 3) {
        fputs("usage: process-tree CHILDREN PAGES\n", stderr);
        return 2;
    }
    long children = number(arguments[1], MOST_CHILDREN);
    size_t pages = (size_t)number(arguments[2], MOST_PAGES);
    int done[2];
    if (pipe(done) < 0)
        die("pipe: %s", strerror(errno));
    if (children == 0)
        fill(1, pages);
    for (long child = 0; child < children; child++) {
        pid_t pid = fork();
        if (pid < 0)
            die("fork: %s", strerror(errno));
        if (pid > 0)
            continue;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(done[0]);
        fill((uint64_t)child + 1, pages);
        if (write(done[1], "", 1) != 1)
            die("write: %s", strerror(errno));
        close(done[1]);
        for (;;)
            pause();
    }
    for (long child = 0; child < children; child++) {
        char byte;
        if (read(done[0], &byte, 1) != 1)
            die("read: %s", strerror(errno));
    }
    puts("ready");
    fflush(stdout);
    for (;;)
        pause();
}
