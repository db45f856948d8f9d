// Keeps an event of perf's open, which counts nothing, until it is killed.
//
//   keep-perf
//
// While there is any, the kernel's code that switches processes has a branch to perf patched in. CRIU's restore sets
// hardware breakpoints, which are such events: without this the code would be patched at each restore and again after it.
#define _GNU_SOURCE
#include <err.h>
#include <linux/perf_event.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(void) {
    struct perf_event_attr event = {
        .type = PERF_TYPE_SOFTWARE, .size = sizeof event, .config = PERF_COUNT_SW_DUMMY, .disabled = 1};
    if (syscall(SYS_perf_event_open, &event, 0, -1, -1, 0) < 0)
        err(1, "perf_event_open");
    for (;;)
        pause();
}
