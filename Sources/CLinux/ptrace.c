#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "faults.h"
#include "registers.h"
#include "sluice_ptrace.h"

pid_t sluice_thread_id(void) { return gettid(); }

int sluice_list_threads(int directory, pid_t *threads, size_t capacity) {
  if (FAULTY(SLUICE_FAULT_LIST_THREADS, lseek(directory, 0, SEEK_SET)) < 0) return -errno;
  _Alignas(struct dirent64) char block[4096];
  size_t found = 0;
  for (;;) {
    ssize_t length = getdents64(directory, block, sizeof block);
    if (length < 0) return -errno;
    if (length == 0) return (int)found;
    for (ssize_t at = 0; at < length;) {
      const struct dirent64 *entry = (const struct dirent64 *)(block + at);
      at += entry->d_reclen;
      // "." and "..": everything else is a number.
      if (entry->d_name[0] == '.') continue;
      if (found < capacity) threads[found] = (pid_t)strtol(entry->d_name, NULL, 10);
      found++;
    }
  }
}

int sluice_count_threads(int directory) {
  struct stat status;
  if (FAULTY(SLUICE_FAULT_LIST_THREADS, fstat(directory, &status)) < 0) return -errno;
  // "." and ".." (proc_task_getattr in fs/proc/base.c).
  return (int)status.st_nlink - 2;
}

// The flags of a task that never returns to its program (include/linux/sched.h): PF_IO_WORKER, and since Linux 6.4
// PF_USER_WORKER, whose bit had another meaning before.
static unsigned long worker_flags(void) {
  enum { IO_WORKER = 0x10, USER_WORKER = 0x4000 };
  struct utsname kernel;
  unsigned major, minor;
  if (uname(&kernel) < 0 || sscanf(kernel.release, "%u.%u", &major, &minor) != 2) return IO_WORKER;
  return major > 6 || (major == 6 && minor >= 4) ? IO_WORKER | USER_WORKER : IO_WORKER;
}

int sluice_is_worker(int directory, pid_t thread) {
  char path[32], text[512];
  snprintf(path, sizeof path, "%d/stat", (int)thread);
  int file = openat(directory, path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return errno == ENOENT ? -ESRCH : -errno;
  ssize_t length = TEMP_FAILURE_RETRY(read(file, text, sizeof text - 1));
  int error = errno;
  close(file);
  if (length < 0) return -error;
  text[length] = '\0';
  // The name may hold anything: the last parenthesis ends it. The flags are field 9, six behind the state.
  const char *fields = strrchr(text, ')');
  unsigned long flags;
  if (fields == NULL || sscanf(fields, ") %*c %*d %*d %*d %*d %*d %lu", &flags) != 1) return -EBADMSG;
  return (flags & worker_flags()) != 0;
}

int sluice_seize(pid_t thread) {
  // No options: PTRACE_O_EXITKILL above all would turn our end into that of the process.
  return FAULTY(SLUICE_FAULT_TRACE, ptrace(PTRACE_SEIZE, thread, NULL, NULL)) < 0 ? -errno : 0;
}

int sluice_interrupt(pid_t thread) {
  return FAULTY(SLUICE_FAULT_TRACE, ptrace(PTRACE_INTERRUPT, thread, NULL, NULL)) < 0 ? -errno : 0;
}

// Above the signal stands the event. What stops upon PTRACE_INTERRUPT, or by job control, has one; what is about to get
// a signal has none.
static int signal_of_stop(int signal, int code) { return code >> 8 == PTRACE_EVENT_STOP ? 0 : signal; }

// The same by asking what traces instead of what waits: 1 for a thread that stands, 0, or -errno.
static int look_as_tracer(pid_t thread, int *signal) {
  siginfo_t stop;
  if (ptrace(PTRACE_GETSIGINFO, thread, NULL, &stop) < 0) return errno == ESRCH ? 0 : -errno;
  *signal = signal_of_stop(stop.si_signo, stop.si_code);
  return 1;
}

int sluice_look_at_thread(pid_t thread, int *signal) {
  siginfo_t seen = {.si_pid = 0};
  // WNOWAIT: a stop that was taken note of has no signal any more, and our death would swallow it.
  int flags = WSTOPPED | WEXITED | WNOHANG | WNOWAIT | __WALL;
  int result = TEMP_FAILURE_RETRY(waitid(P_PID, (id_t)thread, &seen, flags));
  if (result < 0) return -errno;
  if (seen.si_pid == 0) {
    // Another thread of the program that we are in may have waited for whatever comes (waitpid(-1, ...)), which takes
    // note of all that is traced by any thread. A thread that is not ours to ask for looks as if it ran.
    int stands = look_as_tracer(thread, signal);
    return stands < 0 ? stands : stands == 0 ? SLUICE_THREAD_RUNS : SLUICE_THREAD_STANDS;
  }
  if (seen.si_code != CLD_TRAPPED && seen.si_code != CLD_STOPPED) return SLUICE_THREAD_HAS_ENDED;
  *signal = signal_of_stop(seen.si_status & 0xff, seen.si_status);
  return SLUICE_THREAD_STANDS;
}

int sluice_note_end_of_thread(pid_t thread) {
  siginfo_t seen;
  int result = TEMP_FAILURE_RETRY(waitid(P_PID, (id_t)thread, &seen, WEXITED | WNOHANG | __WALL));
  return result < 0 ? -errno : 0;
}

int sluice_deliver(pid_t thread, int signal) {
  // Any stop has taken the place of the one that was asked for.
  int result = sluice_interrupt(thread);
  if (result < 0) return result;
  return FAULTY(SLUICE_FAULT_TRACE, ptrace(PTRACE_CONT, thread, NULL, (void *)(intptr_t)signal)) < 0 ? -errno : 0;
}

// Where a thread stops is where the kernel decides what becomes of its call, so the kernel can be told to begin that anew.
// What cannot be looked at, or is of another kind, stays as it is.
void sluice_begin_call_anew(pid_t thread) {
  struct registers registers;
  if (read_registers(thread, &registers) == 0 && is_native(&registers) && begin_call_anew(&registers))
    write_registers(thread, &registers);
}

int sluice_detach(pid_t thread, int signal) {
  sluice_begin_call_anew(thread);
  return ptrace(PTRACE_DETACH, thread, NULL, (void *)(intptr_t)signal) < 0 ? -errno : 0;
}

int sluice_signal_thread(pid_t process, pid_t thread, int signal) {
  return syscall(SYS_tgkill, process, thread, signal) < 0 ? -errno : 0;
}

int sluice_rseq_area(pid_t thread, uint64_t *address, uint32_t *size) {
  struct rseq_configuration found = {.area = 0};
  *address = *size = 0;
  // A kernel that does not know the question (before Linux 5.13) refuses it.
  if (ptrace(GET_RSEQ_CONFIGURATION, thread, sizeof found, &found) < 0) return errno == EIO ? 0 : -errno;
  *address = found.area;
  *size = found.area == 0 ? 0 : found.size;
  return 0;
}

ssize_t sluice_read_register_set(pid_t thread, uint32_t type, void *bytes, size_t capacity) {
  struct iovec room = {.iov_base = bytes, .iov_len = capacity};
  if (FAULTY(SLUICE_FAULT_TRACE, ptrace(PTRACE_GETREGSET, thread, (void *)(uintptr_t)type, &room)) < 0) return -errno;
  return (ssize_t)room.iov_len;
}

int sluice_blocked_signals(pid_t thread, uint64_t *signals) {
  return FAULTY(SLUICE_FAULT_TRACE, ptrace(PTRACE_GETSIGMASK, thread, sizeof *signals, signals)) < 0 ? -errno : 0;
}

int sluice_signal_of_thread(pid_t thread, void *information, size_t capacity) {
  siginfo_t found;
  if (FAULTY(SLUICE_FAULT_TRACE, ptrace(PTRACE_GETSIGINFO, thread, NULL, &found)) < 0) return -errno;
  if (signal_of_stop(found.si_signo, found.si_code) == 0) return 0;
  memcpy(information, &found, capacity < sizeof found ? capacity : sizeof found);
  return found.si_signo;
}

int sluice_has_own_signals(pid_t thread) {
  siginfo_t first;
  struct __ptrace_peeksiginfo_args wanted = {.off = 0, .flags = 0, .nr = 1};
  long found = ptrace(PTRACE_PEEKSIGINFO, thread, &wanted, &first);
  return found < 0 ? -errno : found > 0;
}
