// Having a thread of another process make two system calls: userfaultfd(2), which a process can only ask for itself,
// and the close(2) of it once we have it.
//
// A process of our own does it, so that nothing is left half done should we be killed: while the registers of a thread
// are changed, its tracer must not end (the thread would go on with ours).
#ifndef SLUICE_INJECT_H
#define SLUICE_INJECT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/// Starts the process that injects. It ends when the descriptor that speaks to it, which is returned, is closed, or we
/// end. Or -errno.
int sluice_injector_start(void);

/// Whether this processor's calling conventions are known here.
bool sluice_can_inject(void);

/// The bytes of the instruction that calls the kernel.
uint32_t sluice_call_instruction(uint8_t bytes[4]);

/// Whether a thread that waits in the system call of this number, and is stopped, waits on afterwards for the time that
/// was left.
bool sluice_call_survives_stop(int32_t number);

/// Whether the system call of this number is given no memory that a device could write to: it waits for time, for others,
/// or for events.
bool sluice_call_takes_no_memory(int32_t number);

/// Where the kernel writes the time that is left, 16 bytes, when a stop interrupts the wait in that call. Returns how many
/// places were found.
size_t sluice_rest_of_wait(int32_t number, const uint64_t arguments[6], uint64_t found[2]);

/// Whether that call, with these arguments, ends early when its thread is stopped, with a part of its work done: so that its
/// caller may lose the rest.
bool sluice_call_is_cut_short(int32_t number, const uint64_t arguments[6]);

/// The number of io_uring_enter(2), whose second argument is how many requests it is to take.
int32_t sluice_ring_enter_call(void);

/// How far an injection comes.
enum sluice_injection_step {
  /// Beginning to trace the thread.
  SLUICE_INJECTION_SEIZE = 0,
  /// Not a step of its own: a filter (seccomp) looks at the thread's system calls, and may not be suspended.
  SLUICE_INJECTION_SUSPEND_FILTER,
  /// Waiting until it stands still.
  SLUICE_INJECTION_STOP,
  /// Looking whether it may be interfered with where it stands.
  SLUICE_INJECTION_STATE,
  /// Its userfaultfd(2).
  SLUICE_INJECTION_CALL,
  /// Taking over the descriptor.
  SLUICE_INJECTION_FETCH,
  /// Its close(2).
  SLUICE_INJECTION_CLOSE,
  /// Giving its registers back and letting it go.
  SLUICE_INJECTION_LET_GO,
  SLUICE_INJECTION_STEP_COUNT,
};

/// What is to be done.
struct sluice_injection {
  pid_t pid;
  /// One of its threads.
  pid_t thread;
  /// Where the process has an instruction that calls the kernel.
  uint64_t call_address;
  /// How long the thread may take to stand still.
  uint64_t patience_ns;
  /// For tests, in debug builds: the injector waits at this step until `sluice_injector_go_on`, or until we have ended.
  /// -1 for none.
  int32_t wait_at;
} __attribute__((swift_name("Injection")));

/// What came of it.
struct sluice_injected {
  /// 0, or why it did not succeed. At the step STOP, and with ETIMEDOUT and ESRCH, the injector has ended, for only so it
  /// could let go. At the step CALL, ETIMEDOUT means that the thread can be stopped and does not run: its cgroup is
  /// frozen. At the steps SEIZE and STOP, EBUSY means that the process dumps core.
  int32_t error;
  /// The last `sluice_injection_step` that was begun.
  uint32_t step;
  /// How long the thread stood still.
  uint64_t stopped_ns;
} __attribute__((swift_name("Injected")));

/// Has a thread make a userfaultfd, whose descriptor is returned, or -errno. With -EPROTO, `injected` tells more; with
/// others nothing is to be asked of this injector any more, which has been killed by its own timer (EPIPE: the thread
/// could not be traced within the patience) or does not answer (ETIMEDOUT).
/// Nothing remains of it in the process, but where a thread of it forked just then: the child has the descriptor too.
///
/// The thread stands still for about a tenth of a millisecond. System calls that it was in go on or are begun anew;
/// one that waits with a time limit, and that the kernel does not begin anew by itself (epoll_wait and the like), waits
/// its whole time again.
int sluice_inject_userfaultfd(int injector, int pidfd, const struct sluice_injection *injection,
                              struct sluice_injected *injected);

/// For tests: lets an injector go on that waits, which `sluice_inject_userfaultfd` has told with -EINPROGRESS.
/// 0 or -errno.
int sluice_injector_go_on(int injector);

#endif
