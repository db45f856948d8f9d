#define _GNU_SOURCE
#include "registers.h"

#include <elf.h>
#include <errno.h>
#include <stddef.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "raw.h"

// In a helper, too: no function of the C library.

bool is_cut_short(long number, const uint64_t arguments[6]) {
  enum { FLAGS_OF_RECVFROM = 3, FLAGS_OF_RECVMSG = 2 };
  switch (number) {
    case SYS_write:
    case SYS_writev:
    case SYS_pwritev2:
    case SYS_sendto:
    case SYS_sendmsg:
    case SYS_sendmmsg:
    case SYS_recvmmsg:
    case SYS_sendfile:
    case SYS_splice:
    case SYS_tee:
    case SYS_vmsplice:
    case SYS_copy_file_range:
    // It goes on by itself, but its caller is told that it was interrupted, and may not call it again.
    case SYS_connect:
      return true;
    case SYS_recvfrom:
      return (arguments[FLAGS_OF_RECVFROM] & MSG_WAITALL) != 0;
    case SYS_recvmsg:
      return (arguments[FLAGS_OF_RECVMSG] & MSG_WAITALL) != 0;
    default:
      return false;
  }
}

size_t find_rest_of_wait(long number, const uint64_t arguments[6], uint64_t found[2]) {
  size_t count = 0;
  switch (number) {
    case SYS_nanosleep: found[count++] = arguments[1]; break;
    case SYS_clock_nanosleep: found[count++] = arguments[3]; break;
#ifdef SYS_select
    case SYS_select: found[count++] = arguments[4]; break;
#endif
    case SYS_pselect6: found[count++] = arguments[4]; break;
    case SYS_ppoll: found[count++] = arguments[2]; break;
    // One of the first two that was interrupted before; which one, is not shown.
    case SYS_restart_syscall:
      found[count++] = arguments[1];
      found[count++] = arguments[3];
      break;
    default: break;
  }
  return count;
}

#if defined(__x86_64__) || defined(__aarch64__)
// Reads or writes one set of registers of a thread.
static int transfer(long request, pid_t thread, long set, void *bytes, size_t size) {
  struct iovec part = {.iov_base = bytes, .iov_len = size};
  return (int)RAW(SYS_ptrace, request, thread, set, &part);
}

// Of the system calls that outlive a stop, those that do so on each of these processors.
static bool survives_anywhere(long number) {
  switch (number) {
    case SYS_rt_sigsuspend:
    case SYS_read:
    case SYS_wait4:
    case SYS_waitid:
    case SYS_msgrcv:
      return true;
    default:
      return false;
  }
}
#endif

#if defined(__x86_64__)

// include/linux/errno.h: "restart if no handler".
enum { ERESTARTNOHAND = 514 };
// The code segment of 64-bit programs (arch/x86/include/asm/segment.h).
enum { USER_CS_64 = 0x33 };
static const unsigned long long TRAP_FLAG = 0x100;

bool can_change_registers(void) { return true; }

unsigned call_instruction(uint8_t bytes[4]) {
  copy_bytes(bytes, (uint8_t[]){0x0f, 0x05}, 2);
  return 2;
}

int read_registers(pid_t thread, struct registers *registers) {
  return transfer(PTRACE_GETREGSET, thread, NT_PRSTATUS, &registers->general, sizeof registers->general);
}

int write_registers(pid_t thread, const struct registers *registers) {
  return transfer(PTRACE_SETREGSET, thread, NT_PRSTATUS, (void *)&registers->general, sizeof registers->general);
}

bool is_native(const struct registers *registers) { return registers->general.cs == USER_CS_64; }

uint64_t instruction_pointer(const struct registers *registers) { return registers->general.rip; }

void set_call(struct registers *registers, uint64_t address, long number, long first) {
  registers->general.rip = address;
  registers->general.rax = (unsigned long long)number;
  registers->general.rdi = (unsigned long long)first;
  // The kernel is not to begin the system call anew that the thread was in.
  registers->general.orig_rax = -1ULL;
  registers->general.eflags &= ~TRAP_FLAG;
}

long call_result(const struct registers *registers) { return (long)registers->general.rax; }

bool survives_stop(long number) {
  switch (number) {
    case SYS_nanosleep:
    case SYS_clock_nanosleep:
    case SYS_futex:
    case SYS_poll:
    case SYS_ppoll:
    case SYS_select:
    case SYS_pselect6:
    case SYS_pause:
      return true;
    default:
      return survives_anywhere(number);
  }
}

// Those of signal(7), "Interruption of system calls and library functions by stop signals", and those that a time limit of
// a socket (SO_RCVTIMEO, SO_SNDTIMEO) makes end early: in all of them EINTR means that nothing was done. Not so connect,
// which goes on by itself then.
static bool can_begin_anew(long call) {
  switch (call) {
    case SYS_epoll_wait:
    case SYS_epoll_pwait:
#ifdef SYS_epoll_pwait2
    case SYS_epoll_pwait2:
#endif
    case SYS_semop:
    case SYS_semtimedop:
    case SYS_rt_sigtimedwait:
    case SYS_io_getevents:
    // It tells how many requests it took, where it took any: so it waited for completions and did nothing else.
    case SYS_io_uring_enter:
    case SYS_read:
    case SYS_readv:
    case SYS_recvfrom:
    case SYS_recvmsg:
    case SYS_recvmmsg:
    case SYS_accept:
    case SYS_accept4:
    case SYS_write:
    case SYS_writev:
    case SYS_sendto:
    case SYS_sendmsg:
    case SYS_sendmmsg:
    case SYS_sendfile:
    case SYS_splice:
      return true;
    default:
      return false;
  }
}

bool begin_call_anew(struct registers *registers) {
  struct user_regs_struct *general = &registers->general;
  if ((long)general->rax != -EINTR || !can_begin_anew((long)general->orig_rax)) return false;
  general->rax = (unsigned long long)-ERESTARTNOHAND;
  return true;
}

#elif defined(__aarch64__)

bool can_change_registers(void) { return true; }

unsigned call_instruction(uint8_t bytes[4]) {
  // svc #0
  copy_bytes(bytes, (uint8_t[]){0x01, 0x00, 0x00, 0xd4}, 4);
  return 4;
}

int read_registers(pid_t thread, struct registers *registers) {
  int result = transfer(PTRACE_GETREGSET, thread, NT_PRSTATUS, &registers->general, sizeof registers->general);
  if (result < 0) return result;
  return transfer(PTRACE_GETREGSET, thread, NT_ARM_SYSTEM_CALL, &registers->call, sizeof registers->call);
}

int write_registers(pid_t thread, const struct registers *registers) {
  int result = transfer(PTRACE_SETREGSET, thread, NT_PRSTATUS, (void *)&registers->general, sizeof registers->general);
  if (result < 0) return result;
  return transfer(PTRACE_SETREGSET, thread, NT_ARM_SYSTEM_CALL, (void *)&registers->call, sizeof registers->call);
}

// PSR_MODE32_BIT
bool is_native(const struct registers *registers) { return (registers->general.pstate & 0x10) == 0; }

uint64_t instruction_pointer(const struct registers *registers) { return registers->general.pc; }

void set_call(struct registers *registers, uint64_t address, long number, long first) {
  registers->general.pc = address;
  registers->general.regs[8] = (unsigned long)number;
  registers->general.regs[0] = (unsigned long)first;
  registers->call = -1;
}

long call_result(const struct registers *registers) { return (long)registers->general.regs[0]; }

// Of those that go on with the time that is left (restart_syscall), the kernel forgets that they did.
bool survives_stop(long number) { return survives_anywhere(number); }

// The kernel has decided by the time that the thread stands (arch/arm64/kernel/signal.c), and the first argument, which
// the result has replaced, is not shown.
bool begin_call_anew(struct registers *registers) { return (void)registers, false; }

#else

bool can_change_registers(void) { return false; }
unsigned call_instruction(uint8_t bytes[4]) { return bytes[0] = 0; }
int read_registers(pid_t thread, struct registers *registers) { return (void)thread, (void)registers, -ENOSYS; }
int write_registers(pid_t thread, const struct registers *registers) { return (void)thread, (void)registers, -ENOSYS; }
bool is_native(const struct registers *registers) { return (void)registers, false; }
uint64_t instruction_pointer(const struct registers *registers) { return (void)registers, 0; }
void set_call(struct registers *registers, uint64_t address, long number, long first) {
  (void)registers, (void)address, (void)number, (void)first;
}
long call_result(const struct registers *registers) { return (void)registers, -ENOSYS; }
bool begin_call_anew(struct registers *registers) { return (void)registers, false; }
bool survives_stop(long number) { return (void)number, false; }

#endif
