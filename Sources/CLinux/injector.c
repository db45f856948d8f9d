#define _GNU_SOURCE
#include "injector.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#include "helper.h"
#include "raw.h"
#include "registers.h"
#include "status.h"

// All of this runs in a helper: no function of the C library.

// The headers of Debian 12 lack these (include/uapi/linux/ptrace.h).
#define GET_SYSCALL_USER_DISPATCH_CONFIG 0x4211
#define OPTION_SUSPEND_SECCOMP (1 << 21)
enum { CALL_STOP = SIGTRAP | 0x80 };
// A restartable sequence takes nanoseconds: a thread that is in one each time does nothing else.
enum { RSEQ_TRIES = 100 };
// A thread that takes another's id by executing a program is not told of.
enum { LONGEST_WAIT_NS = 100000000 };
enum { PATH_BYTES = 80 };
static const uint64_t NANOSECONDS = 1000000000;

static uint64_t nanoseconds(void) {
  struct timespec now;
  RAW(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * NANOSECONDS + (uint64_t)now.tv_nsec;
}

static struct timespec timespec_of(uint64_t nanoseconds) {
  return (struct timespec){
      .tv_sec = (time_t)(nanoseconds / NANOSECONDS), .tv_nsec = (long)(nanoseconds % NANOSECONDS)};
}

// One injection, as it goes on.
struct session {
  int socket;
  int pidfd;
  struct sluice_injection injection;
  struct sluice_injected injected;
  uint64_t stopped_at;
  struct registers registers;
  // Set while the thread's registers or its mask of signals are ours.
  bool is_changed;
  // Set while it was told to go on and is not known to stand again.
  bool runs;
  // Set where a filter of its system calls (seccomp) would be heeded.
  bool heeds_filters;
  uint64_t mask;
};

static void begin(struct session *session, enum sluice_injection_step step) {
  session->injected.step = step;
#ifdef SLUICE_FAULTS
  if (session->injection.wait_at != (int32_t)step) return;
  struct reply reply;
  clear_bytes(&reply, sizeof reply);
  reply.kind = AT_STEP;
  reply.injected = session->injected;
  char go_on;
  if (send_message(session->socket, &reply, sizeof reply, -1) == 0)
    RAW(SYS_recvfrom, session->socket, &go_on, 1, 0);
#endif
}

static pid_t thread_of(const struct session *session) { return session->injection.thread; }

// Makes the path of what /proc tells of the thread.
static void path_of_thread(const struct session *session, char path[PATH_BYTES], const char *name) {
  char *end = add_number(add_text(path, "/proc/"), (unsigned long)session->injection.pid);
  add_text(add_number(add_text(end, "/task/"), (unsigned long)thread_of(session)), name);
}

// Whether filters (seccomp) look at the thread's system calls. 0 or -errno.
static int is_filtered(const struct session *session, bool *is) {
  char path[PATH_BYTES], mode = 0;
  path_of_thread(session, path, "/status");
  int result = status_value(path, "\nSeccomp:\t", &mode);
  // The mode is one digit, 0 for none; a kernel without filters has no such line.
  *is = mode != '\0' && mode != '0';
  return result;
}

// Makes sure that the process does not dump core. 0 or -errno: EBUSY when it does.
static int check_no_core(const struct session *session) {
  int dumps = dumps_core(session->injection.pid);
  return dumps == 1 ? -EBUSY : dumps;
}

static int trace(const struct session *session, long request, uint64_t address, void *data) {
  return (int)RAW(SYS_ptrace, request, thread_of(session), address, data);
}

// Waits for the thread to stop: in the kernel, which hands the processor on at once, for the thread's time passes.
// `limit` is in nanoseconds; 0 for none. 0 or -errno: ESRCH when the thread has ended.
static int wait_for_stop(const struct session *session, uint64_t limit, int *status) {
  uint64_t until = limit == 0 ? UINT64_MAX : nanoseconds() + limit;
  for (;;) {
    long got = RAW(SYS_wait4, thread_of(session), status, __WALL | WNOHANG);
    if (got > 0) return WIFSTOPPED(*status) ? 0 : -ESRCH;
    if (got < 0) return got == -ECHILD ? -ESRCH : (int)got;
    uint64_t now = nanoseconds();
    if (now >= until) return -ETIMEDOUT;
    // SIGCHLD tells of each stop, and of the thread's end. It stays pending until it is taken here, so none is missed.
    uint64_t told = 1ULL << (SIGCHLD - 1);
    struct timespec time = timespec_of(until - now < LONGEST_WAIT_NS ? until - now : LONGEST_WAIT_NS);
    RAW(SYS_rt_sigtimedwait, &told, NULL, &time, sizeof told);
  }
}

static bool is_event(int status) { return status >> 16 != 0; }

// Tells the thread to stop, and waits until it does so because of that; a signal that it is about to get is given to it
// before. 0 or -errno.
static int stop(struct session *session) {
  int result = trace(session, PTRACE_INTERRUPT, 0, NULL);
  while (result == 0) {
    int status;
    result = wait_for_stop(session, session->injection.patience_ns, &status);
    if (result < 0) break;
    session->stopped_at = nanoseconds();
    if (is_event(status)) break;
    // Any stop takes the place of the one that was asked for.
    result = trace(session, PTRACE_INTERRUPT, 0, NULL);
    if (result == 0) result = trace(session, PTRACE_CONT, 0, (void *)(intptr_t)WSTOPSIG(status));
  }
  return result;
}

static int let_go(struct session *session) {
  int result = trace(session, PTRACE_DETACH, 0, NULL);
  session->injected.stopped_ns += nanoseconds() - session->stopped_at;
  return result;
}

// Reads a word of the thread's memory. 0 or -errno.
static int peek(const struct session *session, uint64_t address, uint64_t *word) {
  return trace(session, PTRACE_PEEKDATA, address, word);
}

// Whether the thread is in a restartable sequence (rseq(2)), which the kernel has begin anew when the thread stops in
// it. It could not, were the thread elsewhere when it looks: then the sequence would go on, on whatever processor.
static int is_in_sequence(const struct session *session, bool *is) {
  struct rseq_configuration rseq;
  // Its version and flags, where it begins, its length, and where the thread goes instead.
  uint64_t sequence[4];
  *is = false;
  // No kernel that has the write protection lacks the question; one that has no rseq refuses it.
  if (trace(session, GET_RSEQ_CONFIGURATION, sizeof rseq, &rseq) < 0 || rseq.area == 0) return 0;
  uint64_t at = 0;
  int result = peek(session, rseq.area + 8, &at);
  if (result < 0 || at == 0) return result;
  for (unsigned word = 0; word < 4 && result == 0; word++) result = peek(session, at + 8 * word, &sequence[word]);
  if (result == 0) *is = instruction_pointer(&session->registers) - sequence[1] < sequence[2];
  return result;
}

// Whether the program decides itself what becomes of its system calls (PR_SET_SYSCALL_USER_DISPATCH).
static bool dispatches_calls(const struct session *session) {
  struct {
    uint64_t mode, selector, offset, length;
  } dispatch;
  return trace(session, GET_SYSCALL_USER_DISPATCH_CONFIG, sizeof dispatch, &dispatch) >= 0 && dispatch.mode != 0;
}

// Whether `thread` is one of our process, and that has not ended. It is traced by now, so it stays what it is.
static bool is_of_process(const struct session *session) {
  char path[PATH_BYTES];
  path_of_thread(session, path, "");
  if (RAW(SYS_faccessat, AT_FDCWD, path, 0) < 0) return false;
  // Signal 0: nothing is sent.
  return RAW(SYS_pidfd_send_signal, session->pidfd, 0, NULL, 0) == 0;
}

// Makes sure that no filter looks at the calls that the thread is had to make. 0 or -errno: EPERM where one does, and
// may not be suspended.
static int check_filters(struct session *session) {
  if (!session->heeds_filters) return 0;
  bool is = false;
  int result = is_filtered(session, &is);
  if (result < 0 || !is) return result;
  session->injected.step = SLUICE_INJECTION_SUSPEND_FILTER;
  return -EPERM;
}

// Looks whether the thread can be had to make a call where it stands. 0 or -errno.
static int check_state(struct session *session) {
  if (!is_of_process(session)) return -ESRCH;
  for (unsigned tries = 0;; tries++) {
    int result = read_registers(thread_of(session), &session->registers);
    if (result < 0) return result;
    if (!is_native(&session->registers)) return -ENOEXEC;
    bool is_in = false;
    result = is_in_sequence(session, &is_in);
    if (result < 0) return result;
    if (!is_in) break;
    if (tries == RSEQ_TRIES) return -EAGAIN;
    session->injected.stopped_ns += nanoseconds() - session->stopped_at;
    result = trace(session, PTRACE_CONT, 0, NULL);
    if (result == 0) result = stop(session);
    if (result < 0) return result;
  }
  if (dispatches_calls(session)) return -EBUSY;
  int result = check_filters(session);
  if (result < 0) return result;
  uint8_t expected[4];
  unsigned length = call_instruction(expected);
  uint64_t found = 0;
  result = peek(session, session->injection.call_address, &found);
  if (result < 0) return result;
  // The program was replaced by another one (execve) since the address was found.
  return are_equal(&found, expected, length) ? 0 : -ESRCH;
}

// Lets the thread run to where it enters the kernel, or leaves it again, whichever comes first. 0 or -errno.
// `limit` is in nanoseconds; 0 for none.
static int run_to_call(struct session *session, uint64_t limit) {
  int signal = 0;
  for (;;) {
    int result = trace(session, PTRACE_SYSCALL, 0, (void *)(intptr_t)signal);
    if (result < 0) return result;
    int status;
    result = wait_for_stop(session, limit, &status);
    session->runs = result == -ETIMEDOUT;
    if (result < 0) return result;
    if (!is_event(status) && WSTOPSIG(status) == CALL_STOP) return 0;
    // All signals are blocked but SIGSTOP, which the kernel makes good when the thread is let go.
    signal = is_event(status) ? 0 : WSTOPSIG(status);
  }
}

// Has the thread make a system call. 0 or -errno; `returned` is what the call returned. `limit` is for it to begin.
static int call(struct session *session, long number, long first, uint64_t limit, long *returned) {
  struct registers registers;
  copy_bytes(&registers, &session->registers, sizeof registers);
  set_call(&registers, session->injection.call_address, number, first);
  int result = write_registers(thread_of(session), &registers);
  // On the way in, and on the way out.
  if (result == 0) result = run_to_call(session, limit);
  if (result == 0) result = run_to_call(session, 0);
  if (result == 0) result = read_registers(thread_of(session), &registers);
  if (result == 0) *returned = call_result(&registers);
  return result;
}

// Undoes all that the thread could notice. 0 or -errno.
static int restore(struct session *session) {
  // Back to where it was stopped first, the place in the kernel that decides whether a system call is begun anew.
  int result = trace(session, PTRACE_INTERRUPT, 0, NULL);
  int signal = 0;
  while (result == 0) {
    if (!session->runs) result = trace(session, PTRACE_SYSCALL, 0, (void *)(intptr_t)signal);
    if (result < 0) break;
    session->runs = false;
    int status;
    result = wait_for_stop(session, 0, &status);
    if (result < 0 || is_event(status)) break;
    signal = WSTOPSIG(status) == CALL_STOP ? 0 : WSTOPSIG(status);
  }
  if (result == -ESRCH) return result;
  int masked = trace(session, PTRACE_SETSIGMASK, sizeof session->mask, &session->mask);
  begin_call_anew(&session->registers);
  int written = write_registers(thread_of(session), &session->registers);
  if (result == 0) result = masked;
  return result == 0 ? written : result;
}

// With the thread standing: its calls. 0 or -errno; `descriptor` is the one that we have then.
static int make_descriptor(struct session *session, int *descriptor) {
  uint64_t all = ~0ULL;
  begin(session, SLUICE_INJECTION_CALL);
  int result = trace(session, PTRACE_GETSIGMASK, sizeof session->mask, &session->mask);
  if (result < 0) return result;
  session->is_changed = true;
  result = trace(session, PTRACE_SETSIGMASK, sizeof all, &all);
  if (result < 0) return result;
  long made = -1;
  // In a cgroup that is frozen a thread can be stopped, but does not run until that is thawed.
  result = call(session, SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY,
                    session->injection.patience_ns, &made);
  if (result < 0) return result;
  if (made < 0) return (int)made;
  begin(session, SLUICE_INJECTION_FETCH);
  int fetched = (int)RAW(SYS_pidfd_getfd, session->pidfd, made, 0);
  *descriptor = fetched < 0 ? -1 : fetched;
  begin(session, SLUICE_INJECTION_CLOSE);
  long closed = 0;
  result = call(session, SYS_close, made, 0, &closed);
  if (result == 0) result = (int)closed;
  if (fetched < 0) session->injected.step = SLUICE_INJECTION_FETCH;
  return fetched < 0 ? fetched : result;
}

// Begins to trace the thread within the time that there is: PTRACE_SEIZE may wait, and nothing but SIGKILL ends that
// (sluice_trial.h). So SIGKILL is what comes when the time is over. Nothing of the thread is changed by then, and our
// side is told by the end of this process. 0 or -errno.
static int seize_in_time(const struct session *session, long options) {
  int timer;
  struct sigevent event;
  clear_bytes(&event, sizeof event);
  event.sigev_notify = SIGEV_SIGNAL;
  event.sigev_signo = SIGKILL;
  int result = (int)RAW(SYS_timer_create, CLOCK_MONOTONIC, &event, &timer);
  if (result < 0) return result;
  struct itimerspec time;
  clear_bytes(&time, sizeof time);
  time.it_value = timespec_of(session->injection.patience_ns);
  result = (int)RAW(SYS_timer_settime, timer, 0, &time, NULL);
  if (result == 0) result = trace(session, PTRACE_SEIZE, 0, (void *)options);
  RAW(SYS_timer_delete, timer);
  return result;
}

// Begins to trace the thread, which is not stopped by that. 0 or -errno.
//
// Its filters are suspended wherever that may be, though it has none: another of its threads may put one up for all at
// any moment (SECCOMP_FILTER_FLAG_TSYNC).
static int seize(struct session *session) {
  begin(session, SLUICE_INJECTION_SEIZE);
  int result = check_no_core(session);
  if (result < 0) return result;
  // No PTRACE_O_EXITKILL: it would turn our end into that of the process.
  const long options = PTRACE_O_TRACESYSGOOD;
  result = seize_in_time(session, options | OPTION_SUSPEND_SECCOMP);
  // It takes CAP_SYS_ADMIN, no filter over ourselves, and a kernel that knows it; or the thread may not be traced at all.
  if (result != -EPERM && result != -EINVAL) return result;
  session->heeds_filters = true;
  result = check_filters(session);
  if (result < 0) return result;
  return seize_in_time(session, options);
}

static int inject(struct session *session, int *descriptor) {
  int result = seize(session);
  if (result < 0) return result;
  begin(session, SLUICE_INJECTION_STOP);
  // Again: what is traced by now stops before it begins to dump core (a signal's delivery), so none can come after this.
  result = check_no_core(session);
  if (result == 0) result = stop(session);
  // What runs, nobody can let go of.
  if (result < 0) return result;
  begin(session, SLUICE_INJECTION_STATE);
  result = check_state(session);
  if (result == -ETIMEDOUT) {
    session->injected.step = SLUICE_INJECTION_STOP;
    return result;
  }
  if (result == 0) result = make_descriptor(session, descriptor);
  if (result == 0) begin(session, SLUICE_INJECTION_LET_GO);
  if (session->is_changed) {
    int restored = restore(session);
    if (result == 0) result = restored;
  }
  int freed = let_go(session);
  return result == 0 || freed == -ESRCH ? freed : result;
}

void injector(int socket) {
  // While a thread of another process stands, nobody else comes first; without the right to that, they may.
  RAW(SYS_setpriority, PRIO_PROCESS, 0, -20);
  for (;;) {
    struct session session;
    clear_bytes(&session, sizeof session);
    session.socket = socket;
    if (receive_message(socket, &session.injection, sizeof session.injection, &session.pidfd) < 0) return;
    int descriptor = -1;
    struct reply reply = {.kind = DONE};
    session.injected.error = -inject(&session, &descriptor);
    reply.injected = session.injected;
    bool has_failed = session.injected.error != 0;
    if (send_message(socket, &reply, sizeof reply, has_failed ? -1 : descriptor) < 0) return;
    if (descriptor >= 0) RAW(SYS_close, descriptor);
    RAW(SYS_close, session.pidfd);
    // A thread that runs is let go of by our end alone. So is one that has ended, and until then its process' parent is
    // not told.
    bool runs = has_failed && session.injected.step == SLUICE_INJECTION_STOP;
    if (runs || session.injected.error == ETIMEDOUT || session.injected.error == ESRCH) return;
  }
}
