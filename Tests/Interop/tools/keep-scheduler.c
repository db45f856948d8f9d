// Keeps the kernel's scheduler from being patched while the guest runs, by holding a performance counter that counts
// nothing; ends when it is killed.
//
// The first counter of any process, and a while after the last, the kernel patches a jump in __schedule()
// (perf_sched_events). Counters come and go here: CRIU 4.2 sets hardware breakpoints, which are counters to the kernel. It
// patches by putting an int3 there for a moment, and QEMU's emulation has the other processor run the int3 at times when
// the moment is over: "Oops: int3", and a panic.
#include <err.h>
#include <linux/perf_event.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(void)
{
    struct perf_event_attr counter;
    memset(&counter, 0, sizeof counter);
    counter.size = sizeof counter;
    counter.type = PERF_TYPE_SOFTWARE;
    counter.config = PERF_COUNT_SW_DUMMY;
    counter.disabled = 1;
    if (syscall(SYS_perf_event_open, &counter, 0, -1, -1, PERF_FLAG_FD_CLOEXEC) < 0)
        err(1, "perf_event_open");
    for (;;)
        pause();
}
