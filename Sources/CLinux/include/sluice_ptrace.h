// Stopping the threads of other processes: ptrace(2). The kernel lets only that thread of ours deal with a
// traced thread which began to trace it: all calls for one traced thread are made by one thread. When that one
// ends, however it does, the kernel lets go of all that it traces.
#ifndef SLUICE_PTRACE_H
#define SLUICE_PTRACE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/// The kernel's id of the calling thread.
pid_t sluice_thread_id(void);

/// Reads the ids in an open /proc/PID/task from its start, without allocating. Returns how many there are, which
/// may be more than the `capacity` that was filled, or -errno: ENOENT when the process is gone.
int sluice_list_threads(int directory, pid_t *threads, size_t capacity);

/// How many threads the process of an open /proc/PID/task has: 0 when it is gone. A list may lack some: it ends where a
/// thread that it has come to, and not shown yet, ends. Or -errno.
int sluice_count_threads(int directory);

/// Whether a thread of an open /proc/PID/task is one of the kernel's that never returns to the program: a worker of an
/// io_uring, of vhost. Whatever stops it ends early what it waits for. 1, 0, or -errno: ESRCH when it has ended.
int sluice_is_worker(int directory, pid_t thread);

/// Begins to trace a thread, which notices nothing of it (PTRACE_SEIZE). 0 or -errno: ESRCH when there is none,
/// EPERM when it is traced already, is a zombie, or may not be traced by us.
int sluice_seize(pid_t thread);

/// Tells a traced thread to stop, and does not wait for that (PTRACE_INTERRUPT). 0 or -errno: ESRCH when it has
/// ended.
int sluice_interrupt(pid_t thread);

/// What a traced thread does.
enum sluice_thread_look {
  SLUICE_THREAD_RUNS = 0,
  SLUICE_THREAD_STANDS = 1,
  SLUICE_THREAD_HAS_ENDED = 2,
};

/// Looks what a traced thread does at this moment, and changes nothing by that: should we be killed, it goes on
/// with the signal that it was about to get. Returns a `sluice_thread_look`, or -errno: ECHILD when we do not
/// trace it.
///
/// `*signal` is set for one that stands: the signal that it was about to get, which must be handed back to it, or
/// 0. That another thread of ours has taken note of the stop (waitpid(-1, ...)) hides nothing; but should we be killed
/// then, that signal is lost. A first thread that has ended before the others looks as if it ran.
int sluice_look_at_thread(pid_t thread, int *signal);

/// Takes note of the end of a traced thread, as it must be before the process can execute another program. Not
/// for a first thread: its end is for the process' parent to note; nor for one that was not seen to have ended: the
/// kernel would take its stop for noted. 0 or -errno.
int sluice_note_end_of_thread(pid_t thread);

/// Lets a traced thread that is about to get a signal get it, and stop before it takes a further step: where the signal
/// has a handler, the thread stands at the first instruction of that (PTRACE_INTERRUPT, then PTRACE_CONT). 0 or -errno:
/// ESRCH when it does not stand.
int sluice_deliver(pid_t thread, int signal);

/// Has the kernel begin the system call anew that a thread that stands was in, where the stop has ended that call early
/// (EINTR) before it did anything: epoll_wait(2), semop(2) and others of signal(7) that end so whenever their thread stops.
/// A signal with a handler ends the call all the same. Does nothing where that cannot be told (64-bit ARM).
void sluice_begin_call_anew(pid_t thread);

/// Detaches from a traced thread that stands, with the signal that it was about to get, or 0 (PTRACE_DETACH). 0 or
/// -errno: ESRCH when it does not stand.
int sluice_detach(pid_t thread, int signal);

/// Sends a signal to one thread of a process (tgkill(2)). 0 or -errno: ESRCH when it has ended.
int sluice_signal_thread(pid_t process, pid_t thread, int signal);

/// Whether signals that were sent to this very thread, not to its process, wait to be taken (PTRACE_PEEKSIGINFO); it is
/// traced and stands. 1, 0, or -errno.
int sluice_has_own_signals(pid_t thread);

/// Reads a set of registers of a traced thread that stands (PTRACE_GETREGSET), by the type of its note in a core. Returns its
/// bytes, or -errno: EINVAL or ENODEV where the processor or the thread has none.
ssize_t sluice_read_register_set(pid_t thread, uint32_t type, void *bytes, size_t capacity);

/// The signals that a traced thread that stands has blocked, as bits (PTRACE_GETSIGMASK). 0 or -errno.
int sluice_blocked_signals(pid_t thread, uint64_t *signals);

/// What the kernel knows of the signal that a traced thread, which stands, was about to get (siginfo_t). Returns the number
/// of the signal; 0 where it has stopped for none; or -errno.
int sluice_signal_of_thread(pid_t thread, void *information, size_t capacity);

/// Where a thread that we trace, and that stands, has what it told rseq(2) of, and how long that is; 0 bytes where there is
/// none. 0 or -errno.
int sluice_rseq_area(pid_t thread, uint64_t *address, uint32_t *size);

#endif
