#define _GNU_SOURCE
#include "sluice_inject.h"

#include <errno.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "helper.h"
#include "injector.h"
#include "registers.h"

// How long our side waits for an answer. The injector waits for no single thing as long; but it may wait long for the
// processor, and what it has begun is best left to it.
enum { ANSWER_LIMIT_MS = 30000 };

bool sluice_can_inject(void) { return can_change_registers(); }

bool sluice_call_survives_stop(int32_t number) { return survives_stop(number); }

bool sluice_call_takes_no_memory(int32_t number) {
  switch (number) {
#ifdef SYS_pause
    case SYS_pause:
    case SYS_poll:
    case SYS_select:
    case SYS_epoll_wait:
#endif
    case SYS_nanosleep:
    case SYS_clock_nanosleep:
    case SYS_restart_syscall:
    case SYS_futex:
#ifdef SYS_futex_waitv
    case SYS_futex_waitv:
#endif
    case SYS_ppoll:
    case SYS_pselect6:
    case SYS_epoll_pwait:
#ifdef SYS_epoll_pwait2
    case SYS_epoll_pwait2:
#endif
    case SYS_rt_sigsuspend:
    case SYS_rt_sigtimedwait:
    case SYS_wait4:
    case SYS_waitid:
    case SYS_accept:
    case SYS_accept4:
    case SYS_semop:
    case SYS_semtimedop:
    case SYS_sched_yield:
      return true;
    default:
      return false;
  }
}

size_t sluice_rest_of_wait(int32_t number, const uint64_t arguments[6], uint64_t found[2]) {
  return find_rest_of_wait(number, arguments, found);
}

bool sluice_call_is_cut_short(int32_t number, const uint64_t arguments[6]) { return is_cut_short(number, arguments); }

int32_t sluice_ring_enter_call(void) { return SYS_io_uring_enter; }

uint32_t sluice_call_instruction(uint8_t bytes[4]) { return call_instruction(bytes); }

int sluice_injector_start(void) { return start_helper("sluice-inject", injector); }

int sluice_inject_userfaultfd(int injector, int pidfd, const struct sluice_injection *injection,
                              struct sluice_injected *injected) {
  *injected = (struct sluice_injected){.error = 0};
  int result = send_message(injector, injection, sizeof *injection, pidfd);
  if (result < 0) return result;
  // It answers within its patience, but for what is frozen in the middle of a call: it must not leave that behind.
  struct pollfd answer = {.fd = injector, .events = POLLIN};
  int ready = TEMP_FAILURE_RETRY(poll(&answer, 1, ANSWER_LIMIT_MS));
  if (ready <= 0) return ready < 0 ? -errno : -ETIMEDOUT;
  struct reply reply;
  int descriptor = -1;
  result = receive_message(injector, &reply, sizeof reply, &descriptor);
  if (result < 0) return result;
  *injected = reply.injected;
  if (reply.kind == AT_STEP) return -EINPROGRESS;
  if (reply.injected.error != 0) return -EPROTO;
  return descriptor >= 0 ? descriptor : -EMFILE;
}

int sluice_injector_go_on(int injector) { return send_message(injector, "", 1, -1); }
